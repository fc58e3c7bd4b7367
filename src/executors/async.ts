import { failure } from "../model/errors.ts"
import type { Attempt, Executor } from "../model/executor.ts"
import type { Report } from "../model/outcome.ts"

/** Runs handlers on the worker's own event loop: the default, right for work that waits for I/O. */
export function asyncExecutor(): Executor {
  return { defaultConcurrency: 100, needsHandler: true, run, runBatch }
}

function run(attempt: Attempt): Promise<Report> | Report {
  try {
    const returned = attempt.handler!.run([attempt as never])
    return isThenable(returned) ? Promise.resolve(returned).then(succeeded, failed) : succeeded(returned)
  } catch (error) {
    return failed(error)
  }
}

async function runBatch(attempts: readonly Attempt[]): Promise<readonly Report[]> {
  try {
    const returned = await attempts[0]!.handler!.run(attempts as never)
    if (returned === undefined) return attempts.map(() => succeeded(undefined))
    if (!Array.isArray(returned) || returned.length !== attempts.length) throw badBatch(attempts, returned)
    return returned.map((entry) => (entry instanceof Error ? failed(entry) : succeeded(entry)))
  } catch (error) {
    return attempts.map(() => failed(error))
  }
}

const badBatch = (attempts: readonly Attempt[], returned: unknown) =>
  failure(
    "MILLRACE_BAD_BATCH",
    `The batch handler of "${attempts[0]!.name}" got ${attempts.length} jobs and returned ` +
      `${Array.isArray(returned) ? `${returned.length} entries` : typeof returned}. Return nothing, or one entry per job.`,
  )

const succeeded = (value: unknown): Report => ({ ok: true, value })
const failed = (error: unknown): Report => ({ ok: false, error })

const isThenable = (value: unknown): value is Promise<unknown> =>
  typeof value === "object" && value !== null && typeof (value as Promise<unknown>).then === "function"

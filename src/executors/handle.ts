import type { BatchedJob, Handler } from "../model/definition.ts"
import { followed } from "../model/current-job.ts"
import { failure } from "../model/errors.ts"
import type { Report } from "../model/outcome.ts"

type Job = BatchedJob<unknown>

/** Calls a handler with one job; never throws. */
export function handle(handler: Handler, job: Job): Promise<Report> | Report {
  try {
    const jobs = followed()
    const returned = jobs ? jobs.run(job, () => handler.run([job as never])) : handler.run([job as never])
    return isThenable(returned) ? Promise.resolve(returned).then(succeeded, failed) : succeeded(returned)
  } catch (error) {
    return failed(error)
  }
}

/** Calls a batch handler with several jobs; never throws. */
export async function handleBatch(handler: Handler, jobs: readonly Job[]): Promise<readonly Report[]> {
  try {
    const returned = await handler.run(jobs as never)
    if (returned === undefined) return jobs.map(() => succeeded(undefined))
    if (!Array.isArray(returned) || returned.length !== jobs.length) throw badBatch(jobs, returned)
    return returned.map((entry) => (entry instanceof Error ? failed(entry) : succeeded(entry)))
  } catch (error) {
    return jobs.map(() => failed(error))
  }
}

const badBatch = (jobs: readonly Job[], returned: unknown) =>
  failure(
    "MILLRACE_BAD_BATCH",
    `The batch handler of "${jobs[0]!.name}" got ${jobs.length} jobs and returned ` +
      `${Array.isArray(returned) ? `${returned.length} entries` : typeof returned}. Return nothing, or one entry per job.`,
  )

const succeeded = (value: unknown): Report => ({ ok: true, value })
export const failed = (error: unknown): Report => ({ ok: false, error })

const isThenable = (value: unknown): value is Promise<unknown> =>
  typeof value === "object" && value !== null && typeof (value as Promise<unknown>).then === "function"

import type { Handler } from "../model/definition.ts"
import { isMillraceError } from "../model/errors.ts"
import { isDirective, policyOf, type Report } from "../model/outcome.ts"
import { checkResult, loadPayload } from "../model/payload.ts"
import { failed, handle, handleBatch } from "./handle.ts"
import type { RemoteJob } from "./remote-job.ts"

/*
 * The jobs of one call, in the thread or process that they run in. The payload is read, the result checked and the policy
 * for an error asked for here, where the handler's own classes are; the worker decides what comes of it.
 */

/** Never rejects: what a handler does wrong is in its reports. */
export function runJobs(
  handler: Handler,
  jobs: readonly RemoteJob[],
): Promise<Report | readonly Report[]> | Report | readonly Report[] {
  return handler.batchSize === undefined ? runOne(handler, jobs[0]!) : runBatch(handler, jobs)
}

function runOne(handler: Handler, job: RemoteJob): Promise<Report> | Report {
  try {
    const loaded = loadPayload(handler.definition, job.payloadText)
    if (loaded instanceof Promise) return runLoading(handler, job, loaded)
    job.payload = loaded
  } catch (error) {
    return unreadable(handler, job, error)
  }
  const report = handle(handler, job)
  return report instanceof Promise ? report.then((one) => finish(handler, job, one)) : finish(handler, job, report)
}

async function runLoading(handler: Handler, job: RemoteJob, loading: Promise<unknown>): Promise<Report> {
  try {
    job.payload = await loading
  } catch (error) {
    return unreadable(handler, job, error)
  }
  return finish(handler, job, await handle(handler, job))
}

async function runBatch(handler: Handler, jobs: readonly RemoteJob[]): Promise<readonly Report[]> {
  const reports = new Map<RemoteJob, Report>()
  for (const job of jobs) {
    try {
      job.payload = await loadPayload(handler.definition, job.payloadText)
    } catch (error) {
      reports.set(job, unreadable(handler, job, error))
    }
  }
  const readable = jobs.filter((job) => !reports.has(job))
  const done = readable.length === 0 ? [] : await handleBatch(handler, readable)
  for (const [index, job] of readable.entries()) reports.set(job, await finish(handler, job, done[index]!))
  return jobs.map((job) => reports.get(job)!)
}

/** A payload that its schema refuses will be refused again. */
function unreadable(handler: Handler, job: RemoteJob, error: unknown): Report {
  return isMillraceError(error, "MILLRACE_BAD_PAYLOAD")
    ? { ok: false, error, final: true }
    : judged(handler, job, error)
}

/** Puts a result through its schema, and asks the definition's policy about an error. */
function finish(handler: Handler, job: RemoteJob, report: Report): Promise<Report> | Report {
  if (!report.ok) return judged(handler, job, report.error)
  if (!handler.definition.resultSchema || isDirective(report.value)) return report
  return checkResult(handler.definition, report.value).then(
    (value): Report => ({ ok: true, value }),
    (error: unknown) => judged(handler, job, error),
  )
}

function judged({ definition: { onError } }: Handler, job: RemoteJob, thrown: unknown): Report {
  const stopped = job.stopped?.reason
  const byTimeLimit = stopped === undefined || isMillraceError(stopped, "MILLRACE_TIMEOUT")
  if (isDirective(thrown) || !onError || !byTimeLimit) return failed(thrown)
  const { directive, error } = policyOf((one) => onError(one, job), thrown)
  return { ok: false, error, policy: directive ?? null }
}

import type { Handler } from "../model/definition.ts"
import { failure, isMillraceError } from "../model/errors.ts"
import { handlersIn, registryOf, type Registry } from "../model/handlers.ts"
import { followJobs } from "../model/current-job.ts"
import type { JobApp } from "../model/job-app.ts"
import { isDirective, policyOf, type Report } from "../model/outcome.ts"
import { checkResult, loadPayload } from "../model/payload.ts"
import { packError, packReport, unpackError, unpackReport } from "../model/wire.ts"
import { failed, handle, handleBatch } from "./handle.ts"
import type { FromSeat, JobMessage, Setup, ToSeat } from "./messages.ts"
import { loadModule } from "./module.ts"
import { RemoteJob, type Line } from "./remote-job.ts"

/*
 * The inside of a thread or process: loads the modules, then runs one call at a time. A payload is read, a result checked
 * and the policy for an error asked for here, where the handler's own classes are; the worker decides what comes of it.
 */

type App = new (options: object) => JobApp

/** @param tell sends to the worker. @returns what to do with a message of the worker. */
export function serve(setup: Setup, tell: (message: FromSeat) => void): (message: ToSeat) => void {
  const questions = new Map<number, { resolve(value: string | null): void; reject(error: unknown): void }>()
  const registries = new Map<string, Registry>()
  let jobs: readonly RemoteJob[] = []
  let present = 0
  let asked = 0
  let App: App | undefined
  let app: JobApp | undefined

  const line: Line = {
    queue: setup.queue,
    maxPayload: setup.maxPayload,
    tell,
    app() {
      if (!setup.app || !App) throw noApp()
      return (app ??= new App(setup.app.options))
    },
    ask(call, job, kind, value) {
      const question = ++asked
      return new Promise((resolve, reject) => {
        questions.set(question, { resolve, reject })
        tell(["ask", call, job, question, kind, value])
      })
    },
  }

  async function load(): Promise<void> {
    if (setup.init) await loadModule(setup.init)
    if (setup.app) App = ((await import(setup.app.module)) as { Millrace: App }).Millrace
    for (const module of setup.modules) registries.set(module, registryOf(handlersIn(await loadModule(module), module)))
    followJobs()
  }

  function run(call: number, module: string, messages: readonly JobMessage[]): void {
    const handler = registries.get(module)?.get(messages[0]![1])
    if (!handler)
      return tell(["done", call, messages.map((message) => packReport(failed(unknown(module, message)))), []])
    const mine = messages.map((message, index) => new RemoteJob(line, call, index, message, handler.definition))
    present = call
    jobs = mine
    const end = (reports: Report | readonly Report[]) => {
      for (const job of mine) job.ended = true
      tell(["done", call, [reports].flat().map(packReport), mine.map((job) => job.changedMeta())])
    }
    // Nothing rejects here: what a handler does wrong is in its report.
    const running = handler.batchSize === undefined ? runOne(handler, mine[0]!) : runBatch(handler, mine)
    if (running instanceof Promise) void running.then(end)
    else end(running)
  }

  load().then(
    () => tell(["ready"]),
    (error: unknown) => tell(["broken", packError(error)]),
  )

  return (message) => {
    switch (message[0]) {
      case "run":
        return run(message[1], message[2], message[3])
      case "abort":
        if (message[1] === present) jobs[message[2]]?.stop(unpackError(message[3]))
        return
      case "answer": {
        const [, question, value, wrong] = message
        const waiting = questions.get(question)
        questions.delete(question)
        if (wrong === null) waiting?.resolve(value)
        else waiting?.reject(thrown(unpackReport(wrong)))
      }
    }
  }
}

const thrown = (report: Report): unknown => (report.ok ? report.value : report.error)

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

const unknown = (module: string, [, name]: JobMessage) =>
  failure("MILLRACE_BAD_MODULE", `The module ${module} has no handler for "${name}" where it was loaded again.`)

const noApp = () =>
  failure(
    "MILLRACE_NO_APP",
    "job.app is not there in threads and processes of an app that was made from a pool: they cannot share its " +
      "connections. Make the app with `dsn`, or use job.push and job.transaction, which go through the worker.",
  )

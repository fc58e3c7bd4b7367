import { followJobs } from "../model/current-job.ts"
import type { Handler } from "../model/definition.ts"
import { failure } from "../model/errors.ts"
import { handlersIn, registryOf, type Registry } from "../model/handlers.ts"
import type { JobApp } from "../model/job-app.ts"
import type { Report } from "../model/outcome.ts"
import { packError, packReport, unpackError, unpackReport, type PackedReport } from "../model/wire.ts"
import { failed } from "./handle.ts"
import type { FromSeat, JobMessage, Question, Setup, ToSeat } from "./messages.ts"
import { loadModule } from "./module.ts"
import { RemoteJob, type Line } from "./remote-job.ts"
import { runJobs } from "./run-jobs.ts"

/*
 * The inside of a thread or process: loads the modules, then runs one call at a time, and passes on what its jobs say and
 * ask for.
 */

type Tell = (message: FromSeat) => void

/** @param tell sends to the worker. @returns what to do with a message of the worker. */
export function serve(setup: Setup, tell: Tell): (message: ToSeat) => void {
  const library = new Library(setup)
  const questions = new Questions(tell)
  const line: Line = {
    queue: setup.queue,
    maxPayload: setup.maxPayload,
    tell,
    app: () => library.app(),
    ask: (call, job, kind, value) => questions.ask(call, job, kind, value),
  }
  let present = 0
  let jobs: readonly RemoteJob[] = []
  library.load().then(
    () => tell(["ready"]),
    (error: unknown) => tell(["broken", packError(error)]),
  )
  return (message) => {
    if (message[0] === "answer") return questions.answered(message[1], message[2], message[3])
    if (message[0] === "abort") {
      if (message[1] === present) jobs[message[2]]?.stop(unpackError(message[3]))
      return undefined
    }
    const [, call, module, messages] = message
    const handler = library.handler(module, messages[0]![1])
    if (!handler) return tell(unknown(call, module, messages))
    present = call
    jobs = messages.map((one, index) => new RemoteJob(line, call, index, one, handler.definition))
    return run(call, handler, jobs, tell)
  }
}

function run(call: number, handler: Handler, jobs: readonly RemoteJob[], tell: Tell): void {
  const end = (reports: Report | readonly Report[]) => {
    for (const job of jobs) job.ended = true
    tell(["done", call, [reports].flat().map(packReport), jobs.map((job) => job.changedMeta())])
  }
  const running = runJobs(handler, jobs)
  if (running instanceof Promise) void running.then(end)
  else end(running)
}

type App = new (options: object) => JobApp

/** What was loaded: the handlers of each module, and the app's class. */
class Library {
  readonly #setup: Setup
  readonly #registries = new Map<string, Registry>()
  #App: App | undefined
  #app: JobApp | undefined

  constructor(setup: Setup) {
    this.#setup = setup
  }

  async load(): Promise<void> {
    const { init, app, modules } = this.#setup
    followJobs() // jobs are few here, and what is loaded may ask
    if (init) await loadModule(init)
    if (app) this.#App = ((await import(app.module)) as { Millrace: App }).Millrace
    for (const module of modules) this.#registries.set(module, registryOf(handlersIn(await loadModule(module), module)))
  }

  handler(module: string, name: string): Handler | undefined {
    return this.#registries.get(module)?.get(name)
  }

  /** @throws MILLRACE_NO_APP. */
  app(): JobApp {
    if (!this.#setup.app || !this.#App) throw noApp()
    return (this.#app ??= new this.#App(this.#setup.app.options))
  }
}

/** What the worker was asked for and has not answered yet. */
class Questions {
  readonly #tell: Tell
  readonly #open = new Map<number, { resolve(value: string | null): void; reject(error: unknown): void }>()
  #number = 0

  constructor(tell: Tell) {
    this.#tell = tell
  }

  ask(call: number, job: number, kind: Question, value: string): Promise<string | null> {
    const question = (this.#number += 1)
    return new Promise((resolve, reject) => {
      this.#open.set(question, { resolve, reject })
      this.#tell(["ask", call, job, question, kind, value])
    })
  }

  answered(question: number, value: string | null, wrong: PackedReport): void {
    const waiting = this.#open.get(question)
    this.#open.delete(question)
    if (wrong === null) return waiting?.resolve(value)
    const report = unpackReport(wrong)
    waiting?.reject(report.ok ? report.value : report.error)
  }
}

const unknown = (call: number, module: string, jobs: readonly JobMessage[]): FromSeat => {
  const error = ([, name]: JobMessage) =>
    failure("MILLRACE_BAD_MODULE", `The module ${module} has no handler for "${name}" where it was loaded again.`)
  return ["done", call, jobs.map((job) => packReport(failed(error(job)))), []]
}

const noApp = () =>
  failure(
    "MILLRACE_NO_APP",
    "job.app is not there in threads and processes of an app that was made from a pool: they cannot share its " +
      "connections. Make the app with `dsn`, or use job.push and job.transaction, which go through the worker.",
  )

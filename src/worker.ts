import type { Millrace } from "./client/millrace.ts"
import { asyncExecutor } from "./executors/async.ts"
import type { WorkerOptions } from "./worker/options.ts"
import { Worker as BareWorker } from "./worker/worker.ts"

export type { Attempt, Executor } from "./model/executor.ts"
export type { Report } from "./model/outcome.ts"
export type { Ended, Plugin } from "./model/plugin.ts"
export type { RunningJob } from "./model/running-job.ts"
export type { WorkerOptions } from "./worker/options.ts"
export type { WorkerState } from "./worker/worker.ts"
export { asyncExecutor }

/** The worker's side of Millrace, with the built-in executors. */
export class Worker extends BareWorker {
  constructor(app: Millrace, options: WorkerOptions = {}) {
    super(app, options, { async: asyncExecutor() })
  }
}

import { AsyncLocalStorage } from "node:async_hooks"
import type { RunningJob } from "./running-job.ts"

/*
 * Following a job through everything that it awaits costs every promise of the process a little (on Node 20 half a
 * microsecond each, measured), whether anybody asks or not. So it is off until the module that exports `currentJob` is
 * imported. The switch is on `globalThis`: a process may hold two copies of this package.
 */

interface Switch {
  storage?: AsyncLocalStorage<RunningJob>
}

const key = Symbol.for("millrace.current-job")
const shared = ((globalThis as Record<symbol, unknown>)[key] ??= {}) as Switch

/** From now on jobs are followed. */
export function followJobs(): AsyncLocalStorage<RunningJob> {
  return (shared.storage ??= new AsyncLocalStorage())
}

/** Undefined unless somebody wants jobs to be followed. */
export const followed = (): AsyncLocalStorage<RunningJob> | undefined => shared.storage

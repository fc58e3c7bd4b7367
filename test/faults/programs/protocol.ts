// What the programs of these tests and the tests themselves say to each other.
import { defineJob, type MillraceOptions } from "millrace"
import type { WorkerOptions } from "millrace/worker"

export type Task =
  /** Returns at once. */
  | { readonly do: "quick" }
  /** Goes on until the test releases it, or its signal fires (stubborn: never mind the signal). */
  | { readonly do: "hold"; readonly stubborn?: boolean }
  | { readonly do: "sleep"; readonly ms: number }
  /** SIGKILL for the process that runs it. */
  | { readonly do: "die" }
  /** Blocks the event loop. */
  | { readonly do: "block"; readonly ms: number }
  /** Writes its id into the table `effects` and completes in the same transaction. */
  | { readonly do: "effect" }

/** Its result is the process id of the worker that ran it. */
export const task = defineJob<Task, number>({ name: "task", backoff: { initial: "50ms" } })

export interface Plan {
  readonly app: Omit<MillraceOptions, "pool" | "logger">
  readonly worker: Omit<WorkerOptions, "handlers" | "executors" | "plugins">
}

/** From a worker's process. */
export type Said =
  | { readonly kind: "ready" }
  | { readonly kind: "started" | "finished" | "threw"; readonly id: string; readonly claims: number }
  | { readonly kind: "aborted"; readonly id: string; readonly claims: number; readonly code: string }
  | { readonly kind: "log"; readonly level: string; readonly message: string; readonly fields: string }

/** To a worker's process: the jobs of this id (undefined: all) may end. */
export interface Release {
  readonly release: string | null
}

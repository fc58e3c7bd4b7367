import { Worker as Thread } from "node:worker_threads"
import { describeBytes } from "../lib/bytes.ts"
import { describe } from "../lib/error.ts"
import { parseOptions, value, type OptionsInput } from "../lib/options.ts"
import { parseExecutorOptions, poolOptions } from "../model/built-in-executors.ts"
import { failure } from "../model/errors.ts"
import type { Executor, ExecutorQueue } from "../model/executor.ts"
import type { FromSeat, Setup } from "./messages.ts"
import { poolExecutor, processors, type Kind, type Vessel, type VesselEvents } from "./pool.ts"

/** What the program of a worker says about its threads, or processes; the rest are options of the queues. */
export const seatOptions = {
  /** URL of a module that is imported once in each thread or process, before the handlers. */
  init: value<URL>({
    type: "URL",
    doc: "URL of a module that is imported once in each thread or process, before the handlers.",
    check: (given) =>
      given instanceof URL ? undefined : 'must be a URL, such as new URL("./init.js", import.meta.url)',
  }),
}

export type ThreadOptions = OptionsInput<typeof seatOptions>

const kind: Kind = {
  what: "thread",
  concurrency: Math.min(32, processors + 4),
  maxJobs: 0,
  launch,
}

/**
 * Runs handlers in worker threads, one job each at a time: right for work that computes. A thread is ended when its job
 * does not obey in time; a queue's `memoryLimit` bounds its JavaScript heap, and nothing else of its memory.
 *
 * @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION.
 */
export function threadExecutor(given?: ThreadOptions): (queue: ExecutorQueue) => Executor {
  const { init } = parseOptions("threadExecutor", seatOptions, given)
  return (queue) => poolExecutor(kind, queue, parseExecutorOptions(queue.name, poolOptions, queue.options), init)
}

function launch(setup: Setup, { memoryLimit }: ExecutorQueue, { message, ended }: VesselEvents): Vessel {
  let why: Error | undefined
  const thread = new Thread(new URL("./thread-entry.js", import.meta.url), {
    name: `millrace ${setup.queue}`,
    workerData: setup,
    ...(memoryLimit !== undefined && { resourceLimits: heapOf(memoryLimit) }),
  })
  thread.on("message", (one: FromSeat) => message(one))
  thread.on("error", (error) => (why ??= died(error, memoryLimit)))
  thread.once("exit", (code) => ended(why ?? exited(code)))
  return {
    post: (one) => thread.postMessage(one),
    end: () => void thread.terminate(),
    kill: () => void thread.terminate(),
  }
}

const mb = 1024 ** 2

const heapOf = (limit: number) => ({
  maxOldGenerationSizeMb: Math.max(1, Math.floor(limit / mb)),
  maxYoungGenerationSizeMb: Math.max(1, Math.min(32, Math.floor(limit / mb / 4))),
})

function died(error: Error & { code?: string }, limit: number | undefined) {
  if (error.code !== "ERR_WORKER_OUT_OF_MEMORY")
    return failure(
      "MILLRACE_EXECUTOR_LOST",
      `The thread of the job ended by an error nobody caught: ${describe(error)}`,
      error,
    )
  const text =
    limit === undefined ? "more JavaScript heap than a thread may have" : `over the limit of ${describeBytes(limit)}`
  return failure(
    "MILLRACE_MEMORY_LIMIT",
    `The job's JavaScript heap was ${text}, so its thread was ended. Buffers and native memory are not counted: use the executor "process" to bound them.`,
    error,
  )
}

const exited = (code: number) =>
  failure("MILLRACE_EXECUTOR_LOST", `The thread of the job ended in the middle of it, with exit code ${code}.`)

import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { describeBytes } from "../lib/bytes.ts"
import { describe } from "../lib/error.ts"
import { parseOptions, type OptionsInput } from "../lib/options.ts"
import { parseExecutorOptions, poolOptions } from "../model/built-in-executors.ts"
import { failure } from "../model/errors.ts"
import type { Executor, ExecutorQueue } from "../model/executor.ts"
import type { FromSeat, Setup } from "./messages.ts"
import { poolExecutor, processors, type Kind, type Vessel, type VesselEvents } from "./pool.ts"
import type { ProcessSetup } from "./process-entry.ts"
import { seatOptions } from "./thread.ts"
import { memoryOf, watchPipe } from "./watch.ts"

export type ProcessOptions = OptionsInput<typeof seatOptions>

const kind: Kind = {
  what: "process",
  concurrency: processors,
  maxJobs: 10_000,
  launch,
}

/**
 * Runs handlers in child processes, one job each at a time: right for work that may crash, leak or take memory. A process
 * is killed when its job does not obey in time, or when all its memory is over the queue's `memoryLimit`, and is replaced
 * after `maxJobs` jobs.
 *
 * @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION.
 */
export function processExecutor(given?: ProcessOptions): (queue: ExecutorQueue) => Executor {
  const { init } = parseOptions("processExecutor", seatOptions, given)
  return (queue) => poolExecutor(kind, queue, parseExecutorOptions(queue.name, poolOptions, queue.options), init)
}

function launch(setup: Setup, { memoryLimit = 0 }: ExecutorQueue, { message, ended }: VesselEvents): Vessel {
  const child = fork(fileURLToPath(new URL("./process-entry.js", import.meta.url)), {
    // 3 is the IPC channel; see watch.ts for the last one.
    stdio: ["ignore", "inherit", "inherit", "ipc", "pipe"],
  })
  let said = ""
  let over = false
  const end = (why: Error) => {
    if (over) return
    over = true
    ended(why)
  }
  const pipe = child.stdio[watchPipe] // absent where the process could not even be made
  pipe?.on("data", (data: Buffer) => (said += data.toString()))
  child.on("message", (one) => message(one as unknown as FromSeat))
  child.on("error", (error) =>
    end(failure("MILLRACE_EXECUTOR_LOST", `The process of the job failed: ${describe(error)}`, error)),
  )
  // What it said about its end may still be on its way. ("close" does not come after a disconnect.)
  child.once("exit", (code, signal) => {
    const tell = () => end(died(code, signal, memoryOf(said), memoryLimit))
    if (!pipe || pipe.closed) tell()
    else pipe.once("close", tell)
    setTimeout(tell, 500).unref()
  })
  const post = (one: object) => void (child.connected && child.send(one, () => {})) // lost with it, if it is
  post({ ...setup, memoryLimit } satisfies ProcessSetup)
  return {
    post,
    end: () => child.connected && child.disconnect(),
    kill: () => void child.kill("SIGKILL"),
  }
}

function died(code: number | null, signal: string | null, rss: number | undefined, limit: number) {
  if (rss !== undefined) {
    const text = `The job's process had ${describeBytes(rss)} of memory, over the limit of ${describeBytes(limit)}, and was ended.`
    return failure("MILLRACE_MEMORY_LIMIT", text)
  }
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`
  return failure("MILLRACE_EXECUTOR_LOST", `The process of the job ended in the middle of it, ${how}.`)
}

// The entry of a child process of the `process` executor. Its setup comes as its first message.
import { Worker } from "node:worker_threads"
import type { Setup, ToSeat } from "./messages.ts"
import { serve } from "./serve.ts"

export interface ProcessSetup extends Setup {
  /** Bytes; 0: no limit. */
  readonly memoryLimit: number
}

process.once("message", ({ memoryLimit, ...setup }: ProcessSetup) => {
  new Worker(new URL("./watch-entry.js", import.meta.url), {
    workerData: { memoryLimit, parent: process.ppid },
    execArgv: [],
  }).unref()
  const receive = serve(setup, (message) => void process.send?.(message))
  process.on("message", (message: ToSeat) => receive(message))
})
// Its worker has ended, or wants it to end: nobody would hear of its jobs any more.
process.on("disconnect", () => process.exit(0))

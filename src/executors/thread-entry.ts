// The entry of a worker thread of the `thread` executor.
import { parentPort, workerData } from "node:worker_threads"
import type { Setup } from "./messages.ts"
import { serve } from "./serve.ts"

const port = parentPort!
port.on(
  "message",
  serve(workerData as Setup, (message) => port.postMessage(message)),
)

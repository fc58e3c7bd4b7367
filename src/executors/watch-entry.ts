// A thread in each child process, which goes on when a handler blocks the child's event loop: it ends the process when
// it takes too much memory, or when its worker is gone without a word.
import { writeSync } from "node:fs"
import { workerData } from "node:worker_threads"
import { overMemory, watchPipe } from "./watch.ts"

const { memoryLimit, parent } = workerData as { readonly memoryLimit: number; readonly parent: number }
const end = () => process.kill(process.pid, "SIGKILL")

if (memoryLimit > 0) {
  setInterval(() => {
    const rss = process.memoryUsage.rss()
    if (rss <= memoryLimit) return
    writeSync(watchPipe, overMemory(rss))
    end()
  }, 50)
}
setInterval(() => {
  if (process.ppid !== parent) end()
}, 1_000)

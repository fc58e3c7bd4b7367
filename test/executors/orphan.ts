// A program of the test of orphans: runs one job that never gives its event loop back in a process, and says which.
import { processExecutor } from "millrace/worker"
import { attempt } from "./support.ts"

const module = new URL("./handlers.js", import.meta.url).href
const executor = processExecutor()({
  name: "work",
  concurrency: 1,
  options: {},
  memoryLimit: undefined,
  modules: [module],
  app: undefined,
  maxPayload: 1_000,
  log: console,
})
await executor.start!()
void executor.run(attempt(module, "crashing", { how: "loop", file: process.argv[2] }))

// The jobs of the `executors` scenario, and the module that threads and processes load. It exports the bare function for
// piscina as well, so that both sides run the same one.
import { defineJob } from "millrace"

export const noop = defineJob<number, undefined>({ name: "noop", queue: "bench" })
export const stuck = defineJob({ name: "stuck", queue: "bench" })
export const crash = defineJob({ name: "crash", queue: "bench" })

const nothing = (): undefined => undefined

export const handlers = [
  noop.handler(nothing),
  stuck.handler(() => new Promise(() => {})), // deaf to its signal
  crash.handler(() => process.exit(1)),
]

export default nothing

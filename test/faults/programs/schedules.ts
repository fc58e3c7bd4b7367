// A worker with schedules, whose wall clock jumps if it is told to.
import { cron, defineJob, Millrace, type MillraceOptions } from "millrace"
import { leadership, Worker } from "millrace/worker"

const plan = JSON.parse(process.env.MILLRACE_PLAN!) as { app: MillraceOptions; id: string; jumps: boolean }

/** Ten minutes forward, right, ten minutes back, each for a while: what `Date` says, and nothing else. */
function jump(): void {
  const RealDate = Date
  let ahead = 0
  class JumpingDate extends RealDate {
    constructor(...given: unknown[]) {
      super(...((given.length === 0 ? [RealDate.now() + ahead] : given) as [number]))
    }
    static override now(): number {
      return RealDate.now() + ahead
    }
  }
  globalThis.Date = JumpingDate as DateConstructor
  const jumps = [600_000, 0, -600_000, 0]
  let next = 0
  setInterval(() => (ahead = jumps[next++ % jumps.length]!), 700).unref()
}

if (plan.jumps) jump()
process.on("disconnect", () => process.exit(3)) // the test's process is gone
const app = new Millrace({ ...plan.app, logger: false, plugins: [cron({ every: "500ms" })] })
const tick = defineJob<string>({ name: "tick" })
const worker = new Worker(app, {
  id: plan.id,
  handlers: [tick.handler(() => {})],
  heartbeat: "300ms",
  lease: "2s",
  plugins: [leadership({ lease: "1500ms", every: "300ms" })],
})
const running = worker.run()
process.send!({ kind: "ready", at: 0 })
await running
await app.close()
process.removeAllListeners("disconnect")

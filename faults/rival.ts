// A worker process of one of the systems that are compared: every run of its handler is noted from start to end.
import { setTimeout as sleep } from "node:timers/promises"
import { Recorder } from "./record.ts"
import { sides, type SideName } from "./sides.ts"

const plan = JSON.parse(process.env.MILLRACE_PLAN!) as { label: string; folder: string; url: string; side: SideName }
const recorder = new Recorder(plan.folder, plan.label)
process.on("disconnect", () => process.exit(3)) // the harness is gone

let runs = 0

const stop = await sides[plan.side].work(plan.url, async ({ mark, ms }) => {
  const run = ++runs
  recorder.note({ t: "start", id: mark, claims: run, attempt: 0, crashes: 0 })
  await sleep(ms)
  recorder.note({ t: "end", id: mark, claims: run, how: "return" })
  return { by: plan.label, run }
})
recorder.note({ t: "ready" })

// As each system's documentation would have it: what runs is finished, then the process ends.
process.once("SIGTERM", () => {
  recorder.note({ t: "stopping" })
  void stop().then(() => process.exit(0))
})

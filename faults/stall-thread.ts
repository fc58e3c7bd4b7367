// Notes when this process got no time from the machine: not by our doing, or because we froze it.
import { workerData } from "node:worker_threads"
import { Recorder } from "./record.ts"
import { machineTime } from "./timing.ts"

const { folder, label, since } = workerData as { folder: string; label: string; since: number }
const recorder = new Recorder(folder, label)
const tick = 100
const noticed = 700

// From its making: a machine that takes long to start this thread takes as long to start the one that renews the lease.
let last = since
setInterval(() => {
  const now = machineTime()
  if (now - last > noticed) recorder.note({ t: "stall", ms: now - last })
  last = now
}, tick)

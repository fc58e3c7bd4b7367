// A constant stream of single pushes: what does it cost, and how long do jobs wait.
import { setTimeout as sleep } from "node:timers/promises"
import { per10k, percentile } from "../figures.ts"
import { WARM_UPS } from "../produce.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { drained, onStage } from "../stage.ts"

const RATE = 500
const SECONDS = 20
const SETTLE = 1_500

export const steady: Scenario = {
  summary: "500 jobs/s for 20 s, pushed singly: ms from push to start, CPU s per 10,000 jobs",
  peers: true,
  rounds: 3,
  measure,
}

async function measure({ server, side, options, say }: Run): Promise<Measurement> {
  const seconds = options.seconds ?? SECONDS
  const jobs = RATE * seconds
  return onStage(server, side, async (stage) => {
    const worker = stage.fork()
    const producer = stage.fork()
    await worker.call("work", "stamp", { trickle: true, concurrency: options.concurrency })
    await sleep(SETTLE)
    const meter = stage.startMeter()
    const pushing = await producer.call("pushSteadily", RATE, seconds)
    await drained(stage, [worker], jobs + WARM_UPS)
    const used = meter.read()
    const working = await worker.call("usedCpu")
    const latencies = await worker.call("latencies")
    const figures = {
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      max: percentile(latencies, 1),
      cpuPer10k: { server: per10k(used.server, jobs), worker: per10k(working, jobs), producer: per10k(pushing, jobs) },
    }
    say(`p50 ${figures.p50.toFixed(1)} ms, p99 ${figures.p99.toFixed(1)} ms`)
    return { figures, versions: stage.versions, foreignLoad: used.foreignLoad(working + pushing) }
  })
}

// How long does a job wait that is pushed to an idle worker in another process.
import { setTimeout as sleep } from "node:timers/promises"
import { percentile } from "../figures.ts"
import { WARM_UPS } from "../produce.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { drained, onStage } from "../stage.ts"

const JOBS = 300
const GAP = 20

/** Long enough for a worker to have looked for jobs, found none, and gone idle. */
const SETTLE = 1_500

export const latency: Scenario = {
  summary: "ms from the call of push to the start of the handler: idle worker, jobs about 20 ms apart",
  peers: true,
  rounds: 3,
  measure,
}

async function measure({ server, side, options, say }: Run): Promise<Measurement> {
  const jobs = options.jobs ?? JOBS
  return onStage(server, side, async (stage) => {
    const worker = stage.fork()
    const producer = stage.fork()
    await worker.call("work", "stamp", { trickle: true, concurrency: options.concurrency })
    await sleep(SETTLE)
    const meter = stage.startMeter()
    const pushing = await producer.call("trickle", jobs, GAP)
    await drained(stage, [worker], jobs + WARM_UPS)
    const foreignLoad = meter.read().foreignLoad(pushing + (await worker.call("usedCpu")))
    const latencies = await worker.call("latencies")
    const figures = {
      p50: percentile(latencies, 0.5),
      p95: percentile(latencies, 0.95),
      p99: percentile(latencies, 0.99),
    }
    say(`p50 ${figures.p50.toFixed(1)} ms, p99 ${figures.p99.toFixed(1)} ms`)
    return { figures, versions: stage.versions, foreignLoad }
  })
}

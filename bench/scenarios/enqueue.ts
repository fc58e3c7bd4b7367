// How fast can jobs be pushed: by one caller that waits, by 64 callers that each wait, and in bulk calls of 1,000.
import { per10k, type Figures } from "../figures.ts"
import { worstLoad } from "../measure.ts"
import type { EnqueueMode } from "../produce.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { expectCount, onStage } from "../stage.ts"

const modes: EnqueueMode[] = ["single", "concurrent64", "bulk1000"]

const SECONDS = 5
const WARM_UP_SECONDS = 0.5

export const enqueue: Scenario = {
  summary: "jobs/s pushed singly, by 64 callers and in bulk calls of 1,000 (no worker running)",
  peers: true,
  rounds: 3,
  measure,
}

async function measure({ server, side, options, say }: Run): Promise<Measurement> {
  return onStage(server, side, async (stage) => {
    const producer = stage.fork()
    const rates: Figures = {}
    const costs: Figures = {}
    const loads: (number | null)[] = []
    let stored = 0
    for (const mode of modes) {
      const warmUp = await producer.call("enqueue", mode, WARM_UP_SECONDS)
      const meter = stage.startMeter()
      const { jobs, seconds, cpu } = await producer.call("enqueue", mode, options.seconds ?? SECONDS)
      const used = meter.read()
      rates[mode] = jobs / seconds
      costs[mode] = { server: per10k(used.server, jobs), client: per10k(cpu, jobs) }
      loads.push(used.foreignLoad(cpu))
      stored += warmUp.jobs + jobs
      say(`${mode}: ${Math.round(jobs / seconds)} jobs/s`)
    }
    await expectCount(stage, stage.sql.waiting, stored) // what was acknowledged is there
    return { figures: { ...rates, cpuPer10k: costs }, versions: stage.versions, foreignLoad: worstLoad(loads) }
  })
}

// One job at a time, 5 ms each: how much of the time goes into something other than the jobs.
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { drained, onStage, seedStage } from "../stage.ts"

const JOBS = 1_000

export const serial: Scenario = {
  summary: "jobs/s through a handler of 5 ms at concurrency 1 (200 is the bound)",
  peers: true,
  rounds: 3,
  measure,
}

async function measure({ server, side, options, say }: Run): Promise<Measurement> {
  const jobs = options.jobs ?? JOBS
  return onStage(server, side, async (stage) => {
    await seedStage(stage, jobs, options)
    const worker = stage.fork()
    await worker.call("work", "sleep5", { concurrency: 1 })
    const first = await worker.first
    const meter = stage.startMeter()
    const end = await drained(stage, [worker], jobs)
    const jobsPerSecond = jobs / ((end - first) / 1000)
    say(`${jobsPerSecond.toFixed(1)} jobs/s`)
    const foreignLoad = meter.read().foreignLoad(await worker.call("usedCpu"))
    return { figures: { jobsPerSecond }, versions: stage.versions, foreignLoad }
  })
}

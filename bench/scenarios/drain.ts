// How fast is a backlog of no-op jobs worked off, and at what cost.
//
// The clock runs from the start of the first handler until the database itself holds no unfinished job: neither the
// start of the processes nor a completion that is only in memory counts in anyone's favour.
import { per10k } from "../figures.ts"
import { walBytesSince, walPosition } from "../measure.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { drained, onStage, seedStage, type Stage } from "../stage.ts"

const JOBS = 100_000

export const drain: Scenario = {
  summary: "jobs/s through no-op handlers, from a backlog to the last completion in the database",
  peers: true,
  rounds: 3,
  measure,
}

async function measure({ server, side, options, say }: Run): Promise<Measurement> {
  const jobs = options.jobs ?? JOBS
  return onStage(server, side, async (stage) => {
    await seedStage(stage, jobs, options)
    const { seconds, ...used } = await drainOnce(stage, jobs, options)
    say(`${Math.round(jobs / seconds)} jobs/s`)
    const figures = {
      jobsPerSecond: jobs / seconds,
      cpuPer10k: { server: per10k(used.server, jobs), client: per10k(used.client, jobs) },
      walBytesPerJob: used.wal / jobs,
    }
    return { figures, versions: stage.versions, foreignLoad: used.foreignLoad }
  })
}

async function drainOnce(stage: Stage, jobs: number, { processes, concurrency, saving }: Run["options"]) {
  const workers = Array.from({ length: processes }, () => stage.fork())
  await Promise.all(workers.map((worker) => worker.call("describe"))) // loaded
  const position = await walPosition(stage.db)
  const started = Promise.all(workers.map((worker) => worker.call("work", "nothing", { concurrency, saving })))
  const firstOf = Promise.race(workers.map((worker) => worker.first))
  await Promise.race([firstOf, started.then(() => firstOf)]) // a worker that fails to start fails this
  const meter = stage.startMeter()
  const end = await drained(stage, workers, jobs)
  const used = meter.read()
  await started
  const client = sum(await Promise.all(workers.map((worker) => worker.call("usedCpu"))))
  const wal = await walBytesSince(stage.db, position)
  const foreignLoad = used.foreignLoad(client)
  return { seconds: (end - (await firstOf)) / 1000, server: used.server, client, wal, foreignLoad }
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

// What a long transaction elsewhere costs: it keeps PostgreSQL from removing the dead entries that claims leave in
// their index. The backlog is kept filled, the batches are small, and the rate is taken with and without the holder,
// each in a database of its own.
import { setTimeout as sleep } from "node:timers/promises"
import type { Child } from "../crew.ts"
import { now, worstLoad } from "../measure.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { connect } from "../server.ts"
import { onStage, seedStage, type Stage } from "../stage.ts"

const SECONDS = 60
const CONCURRENCY = 10
const BACKLOG = 20_000
const REFILL = 5_000

export const held: Scenario = {
  summary: "jobs/s at concurrency 10 while another transaction holds a snapshot and an id, and without it",
  peers: false,
  rounds: 1,
  measure,
}

async function measure(run: Run): Promise<Measurement> {
  const free = await phase(run, false)
  const holding = await phase(run, true)
  const { rate: jobsPerSecond, tail } = free
  const figures = {
    jobsPerSecond,
    jobsPerSecondHeld: holding.rate,
    ratio: holding.rate / jobsPerSecond,
    // The damage grows with time: the last quarter by itself.
    lastQuarter: { jobsPerSecond: tail, jobsPerSecondHeld: holding.tail, ratio: holding.tail / tail },
  }
  return { figures, versions: free.versions, foreignLoad: worstLoad([free.foreignLoad, holding.foreignLoad]) }
}

async function phase({ server, side, options, say }: Run, hold: boolean) {
  return onStage(server, side, async (stage) => {
    await seedStage(stage, BACKLOG, options)
    const letGo = hold ? await holdSnapshot(stage) : () => Promise.resolve()
    try {
      const worker = stage.fork()
      await worker.call("work", "nothing", { concurrency: options.concurrency ?? CONCURRENCY })
      await worker.first
      const rates = await keepBusy(stage, worker, options.seconds ?? SECONDS)
      say(`${hold ? "held" : "free"}: ${Math.round(rates.rate)} jobs/s, last quarter ${Math.round(rates.tail)}`)
      return { ...rates, versions: stage.versions }
    } finally {
      await letGo()
    }
  })
}

async function holdSnapshot(stage: Stage): Promise<() => Promise<void>> {
  const db = await connect(stage.url)
  await db.query("begin isolation level repeatable read")
  await db.query("select pg_current_xact_id()") // takes the snapshot and a transaction id
  return () => db.end()
}

/** Keeps jobs coming and counts what is finished, over the whole time and over its last quarter. */
async function keepBusy(stage: Stage, worker: Child, seconds: number) {
  const producer = stage.fork()
  let pushed = BACKLOG
  const refillUntil = async (deadline: number) => {
    for (; now() < deadline; await sleep(20)) {
      if (pushed - worker.finished() > BACKLOG - REFILL) continue
      await producer.call("seed", REFILL, pushed)
      pushed += REFILL
    }
    return { at: now(), finished: worker.finished() }
  }
  const meter = stage.startMeter()
  const start = { at: now(), finished: worker.finished() }
  const middle = await refillUntil(start.at + seconds * 750)
  const end = await refillUntil(start.at + seconds * 1000)
  const rate = (from: typeof start) => (end.finished - from.finished) / ((end.at - from.at) / 1000)
  const used = meter.read()
  const clientCpu = (await worker.call("usedCpu")) + (await producer.call("totalCpu"))
  return { rate: rate(start), tail: rate(middle), foreignLoad: used.foreignLoad(clientCpu) }
}

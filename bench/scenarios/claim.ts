// Does a claim's cost depend on how many jobs wait, on planner statistics, or on jobs scheduled for later?
import { median, type Figures } from "../figures.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { onStage, seedStage, type Stage } from "../stage.ts"

const FEW = 10_000
const MANY = 1_000_000

export const claim: Scenario = {
  summary:
    "ms to claim 100 jobs out of 10,000 and out of 1,000,000, without and with statistics, and beside as many scheduled",
  peers: false,
  rounds: 1,
  measure,
}

async function measure(run: Run): Promise<Measurement> {
  const many = run.options.jobs ?? MANY
  const small = await medianTimes(run, FEW, 0)
  const large = await medianTimes(run, many, 0)
  const beside = await medianTimes(run, many, many)
  const figures: Figures = {
    few: small.times,
    many: large.times,
    manyAndScheduled: beside.times,
    ratio: {
      unanalysed: large.times.unanalysed / small.times.unanalysed,
      analysed: large.times.analysed / small.times.analysed,
      scheduled: beside.times.analysed / small.times.analysed,
    },
  }
  return { figures, versions: small.versions, foreignLoad: null }
}

async function medianTimes({ server, side, say }: Run, pending: number, scheduled: number) {
  const { claimTimes, seedScheduled } = await import("../claim-times.ts") // drives millrace in this process
  return onStage(server, side, async (stage) => {
    await stopAutovacuum(stage)
    await seedStage(stage, pending, { unanalysed: true })
    if (scheduled > 0) await seedScheduled(stage.url, scheduled)
    const unanalysed = median(await claimTimes(stage.url))
    await stage.db.query("analyze")
    const analysed = median(await claimTimes(stage.url))
    say(`${pending} pending, ${scheduled} scheduled: ${unanalysed.toFixed(2)} ms, analysed ${analysed.toFixed(2)} ms`)
    return { times: { unanalysed, analysed }, versions: stage.versions }
  })
}

/** Else statistics would arrive when they please. */
async function stopAutovacuum({ db }: Stage): Promise<void> {
  await db.query("alter table millrace.jobs set (autovacuum_enabled = off)")
}

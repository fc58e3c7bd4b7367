// Do jobs scheduled for later slow the claims of those that are ready? How soon do many start that
// fall due together? And how late are the ticks of schedules?
import { median, percentile } from "../figures.ts"
import type { pushDueTogether } from "../scheduled-jobs.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { onStage, seedStage, until, type Stage } from "../stage.ts"

const READY = 20_000
const SCHEDULED = 1_000_000
const DUE = 10_000
/** Enough to push them, and for the worker to be idle. */
const AHEAD_SECONDS = 20
const SERIES = 5
const TICKING_SECONDS = 60

export const scheduled: Scenario = {
  summary:
    "claims of ready jobs beside 1,000,000 scheduled ones (claimRatio), seconds until 10,000 of one second have started, lateness of ticks",
  peers: false,
  rounds: 1,
  measure,
}

async function measure(run: Run): Promise<Measurement> {
  const many = run.options.jobs ?? SCHEDULED
  const { server, side, say } = run
  const { claimTimes, seedScheduled } = await import("../claim-times.ts") // drives millrace in this process
  const jobs = await import("../scheduled-jobs.ts")
  return onStage(server, side, (plain) =>
    onStage(server, side, async (beside) => {
      say(`filling in ${READY} ready jobs twice, and ${many} scheduled ones`)
      await seedScheduled(beside.url, many)
      await seedStage(plain, READY)
      await seedReady(beside)
      // In turns, so that whatever else the machine does meets both.
      const [without, withMany]: number[][] = [[], []]
      for (let series = 0; series < SERIES; series++) {
        without!.push(...(await claimTimes(plain.url)))
        withMany!.push(...(await claimTimes(beside.url)))
      }
      const claimMs = { without: median(without!), beside: median(withMany!) }
      say(`a claim of 100: ${claimMs.without.toFixed(2)} ms, beside ${many} scheduled ${claimMs.beside.toFixed(2)} ms`)
      const due = await startedAfterDue(beside, jobs.pushDueTogether)
      say(
        `${DUE} that fell due together: half started after ${due.half.toFixed(2)} s, all after ${due.all.toFixed(2)} s`,
      )
      const late = await jobs.tickLateness(plain.url, plain.db, TICKING_SECONDS)
      const tickLateMs = {
        p50: median(late),
        p99: percentile(late, 0.99),
        most: percentile(late, 1),
        ticks: late.length,
      }
      say(`${late.length} ticks fired: p50 ${tickLateMs.p50.toFixed(1)} ms late, p99 ${tickLateMs.p99.toFixed(1)} ms`)
      const figures = {
        scheduled: many,
        claimMs,
        claimRatio: claimMs.beside / claimMs.without,
        due: DUE,
        dueStartedSeconds: due.all,
        dueHalfStartedSeconds: due.half,
        tickLateMs,
      }
      return { figures, versions: beside.versions, foreignLoad: null }
    }),
  )
}

/** The ready jobs beside the scheduled ones, which `seedStage` would count. */
async function seedReady(stage: Stage): Promise<void> {
  const producer = stage.fork()
  await producer.call("seed", READY)
  await producer.end()
  await stage.db.query("vacuum analyze")
}

/** Seconds from the time they were due to the start of half and of the last of them, by the database's clock. */
async function startedAfterDue(stage: Stage, pushDue: typeof pushDueTogether): Promise<{ half: number; all: number }> {
  // What the claims left behind belongs to a worker that never was.
  await stage.db.query("delete from millrace.jobs where state in ('running', 'pending')")
  await stage.db.query("delete from millrace.workers")
  const worker = stage.fork()
  await worker.call("work", "nothing", {})
  const at = await pushDue(stage.url, stage.db, DUE, AHEAD_SECONDS)
  const late = "extract(epoch from started_at - run_at)::float8"
  await until("all of them to be done", async () => (await finished(stage, at)) === DUE, 200)
  const { rows } = await stage.db.query<{ late: number }>(
    `select ${late} as late from millrace.jobs_history where run_at = $1`,
    [at],
  )
  const times = rows.map((row) => row.late)
  return { half: median(times), all: percentile(times, 1) }
}

async function finished({ db }: Stage, at: Date): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    "select count(*)::int as count from millrace.jobs_history where run_at = $1 and state = 'succeeded'",
    [at],
  )
  return rows[0]!.count
}

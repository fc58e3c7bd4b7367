// What does it cost to see everything? A backlog is worked off with all of it on, with all of it on for every single job, and
// with none of it, in turns, in one run (bench/sides/observing.ts says what that is). Its share depends on what a job does, so
// it is taken for three: a small job as applications have them (reads, renders a document in a millisecond, writes), the least
// that one does (a question to its database), and nothing, where every microsecond shows.
import { median, per10k, type Figures } from "../figures.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import type { Observed } from "../side.ts"
import { drained, onStage, seedStage } from "../stage.ts"

const JOBS = { document: 5_000, query: 30_000, nothing: 150_000 } as const
const TURNS = 5

type Load = keyof typeof JOBS

export const observability: Scenario = {
  summary: "share of throughput that metrics, traces, logs, errors and alerts cost; on and off in turns",
  peers: false,
  rounds: 1,
  measure,
}

interface Turn {
  readonly jobsPerSecond: number
  readonly cpuPer10k: number | null
  readonly versions: Record<string, string>
  readonly foreignLoad: number | null
}

async function measure(run: Run): Promise<Measurement> {
  const document = await takeTurns(run, "document")
  const query = await takeTurns(run, "query")
  const nothing = await takeTurns(run, "nothing")
  const figures: Figures = { ...costsOf(document), query: costsOf(query), nothing: costsOf(nothing) }
  const turns = [document, query, nothing].flatMap((one) => Object.values(one).flat())
  const foreignLoad = Math.max(...turns.map((turn) => turn.foreignLoad ?? 0))
  return { figures, versions: turns[0]!.versions, foreignLoad }
}

async function takeTurns(run: Run, load: Load): Promise<Record<Observed, Turn[]>> {
  const turns: Record<Observed, Turn[]> = { off: [], on: [], every: [] }
  // Whoever is first finds a colder machine: each is first as often as last.
  for (let turn = 0; turn < TURNS; turn++) {
    for (const which of turn % 2 === 0 ? (["off", "on", "every"] as const) : (["every", "on", "off"] as const)) {
      turns[which].push(await drainOnce(run, load, which))
    }
  }
  return turns
}

const costsOf = ({ off, on, every }: Record<Observed, Turn[]>): Figures => ({
  ...costOf(on, off),
  everyJob: costOf(every, off),
  off: figuresOf(off),
  on: figuresOf(on),
  every: figuresOf(every),
})

const figuresOf = (all: readonly Turn[]): Figures => ({
  jobsPerSecond: median(all.map(({ jobsPerSecond }) => jobsPerSecond)),
  cpuPer10k: all.some(({ cpuPer10k }) => cpuPer10k === null) ? null : median(all.map(({ cpuPer10k }) => cpuPer10k!)),
})

/** Fractions of the throughput and of the processor, and microseconds of a job's share of the run, turn by turn. */
function costOf(on: readonly Turn[], off: readonly Turn[]): Figures {
  const ratios = on.map(({ jobsPerSecond }, turn) => jobsPerSecond / off[turn]!.jobsPerSecond)
  const cpu = on.map(({ cpuPer10k }, turn) => (cpuPer10k ?? Number.NaN) / (off[turn]!.cpuPer10k ?? Number.NaN))
  const longer = on.map(({ jobsPerSecond }, turn) => 1e6 / jobsPerSecond - 1e6 / off[turn]!.jobsPerSecond)
  return {
    overhead: 1 - median(ratios),
    cpuOverhead: Number.isNaN(cpu[0]) ? null : median(cpu) - 1,
    microsPerJob: median(longer),
  }
}

function drainOnce({ server, side, options, say }: Run, load: Load, observed: Observed): Promise<Turn> {
  const jobs = options.jobs ?? JOBS[load]
  return onStage(server, side, async (stage) => {
    await seedStage(stage, jobs, options)
    const worker = stage.fork()
    await worker.call("describe") // loaded
    const started = worker.call("work", load, { concurrency: options.concurrency, observed })
    await Promise.race([worker.first, started.then(() => worker.first)])
    const meter = stage.startMeter()
    const end = await drained(stage, [worker], jobs)
    const used = meter.read()
    await started
    const client = await worker.call("usedCpu")
    const jobsPerSecond = jobs / ((end - (await worker.first)) / 1_000)
    say(`${load}, ${observed}: ${Math.round(jobsPerSecond)} jobs/s`)
    const cpuPer10k = used.server === null ? null : per10k(used.server + client, jobs)
    return { jobsPerSecond, cpuPer10k, versions: stage.versions, foreignLoad: used.foreignLoad(client) }
  })
}

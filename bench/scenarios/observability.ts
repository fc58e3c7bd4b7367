// What does it cost to see everything? A backlog of no-op jobs is worked off with all of it on, with all of it on for every
// single job, and with none of it, in turns, in one run (bench/sides/observing.ts says what that is).
import { median, per10k, type Figures } from "../figures.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import type { Observed } from "../side.ts"
import { drained, onStage, seedStage } from "../stage.ts"

const JOBS = 150_000
const TURNS = 5

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
  const turns: Record<Observed, Turn[]> = { off: [], on: [], every: [] }
  // Whoever is first finds a colder machine: each is first as often as last.
  for (let turn = 0; turn < TURNS; turn++) {
    for (const which of turn % 2 === 0 ? (["off", "on", "every"] as const) : (["every", "on", "off"] as const)) {
      turns[which].push(await drainOnce(run, which))
    }
  }
  const figures: Figures = {
    ...costOf(turns.on, turns.off),
    everyJob: costOf(turns.every, turns.off),
    on: figuresOf(turns.on),
    every: figuresOf(turns.every),
    off: figuresOf(turns.off),
  }
  const loads = Object.values(turns).flatMap((all) => all.map(({ foreignLoad }) => foreignLoad ?? 0))
  return { figures, versions: turns.on[0]!.versions, foreignLoad: Math.max(...loads) }
}

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

function drainOnce({ server, side, options, say }: Run, observed: Observed): Promise<Turn> {
  const jobs = options.jobs ?? JOBS
  return onStage(server, side, async (stage) => {
    await seedStage(stage, jobs, options)
    const worker = stage.fork()
    await worker.call("describe") // loaded
    const started = worker.call("work", "nothing", { concurrency: options.concurrency, observed })
    await Promise.race([worker.first, started.then(() => worker.first)])
    const meter = stage.startMeter()
    const end = await drained(stage, [worker], jobs)
    const used = meter.read()
    await started
    const client = await worker.call("usedCpu")
    const jobsPerSecond = jobs / ((end - (await worker.first)) / 1_000)
    say(`${observed}: ${Math.round(jobsPerSecond)} jobs/s`)
    const cpuPer10k = used.server === null ? null : per10k(used.server + client, jobs)
    return { jobsPerSecond, cpuPer10k, versions: stage.versions, foreignLoad: used.foreignLoad(client) }
  })
}

// How fast do workflows advance: steps per second through sequences and through one fan-out, beside plain jobs in the same
// process on the same server, and how long a step waits for the end of the one before it.
import { defineJob, Millrace, workflow, workflows as plugin, type Workflows } from "millrace"
import { Worker } from "millrace/worker"
import { median, percentile } from "../figures.ts"
import { now } from "../measure.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { connect, withDatabase } from "../server.ts"
import { until } from "../stage.ts"

const SEQUENCES = 1_000
const FAN_OUT = 10_000
const PLAIN = 30_000
const CHAIN = 200
const TURNS = 9
const WARM_UP = 6_000

export const workflows: Scenario = {
  summary: "steps/s of 1,000 sequences of three and of a fan-out of 10,000, beside a plain drain; ms between two steps",
  peers: false,
  rounds: 1,
  measure,
}

const step = defineJob<number>({ name: "step" })

const sequence = workflow<number>("sequence", (w) => {
  w.sequence(w.step("one", step, w.input), w.step("two", step, w.input), w.step("three", step, w.input))
})

const fanOut = workflow<number[]>("fan-out", (w) => {
  w.map("item", step, w.input, (item) => item)
})

const chain = workflow("chain", (w) => {
  w.sequence(...Array.from({ length: CHAIN }, (_, n) => w.step(`step-${n}`, step, n)), w.step("last", step, CHAIN))
})

interface Bench {
  readonly app: Millrace
  readonly flows: Workflows
  /** Whether nothing is left to do. */
  idle(): Promise<boolean>
}

async function measure(run: Run): Promise<Measurement> {
  const rates: Record<"plain" | "sequences" | "fanOut", number[]> = { plain: [], sequences: [], fanOut: [] }
  const scale = (run.options.jobs ?? SEQUENCES) / SEQUENCES
  // In turns, each in a database of its own: a noisy machine disturbs all alike.
  for (let turn = 0; turn < TURNS; turn++) {
    const plain = Math.round(PLAIN * scale)
    const sequences = Math.round(SEQUENCES * scale)
    const items = Math.round(FAN_OUT * scale)
    rates.plain.push(await rate(run, plain, ({ app }, jobs) => app.pushMany(step, numbers(jobs))))
    rates.sequences.push(
      await rate(run, sequences * 3, ({ flows }, steps) => flows.pushMany(sequence, numbers(steps / 3))),
    )
    rates.fanOut.push(await rate(run, items, ({ flows }, steps) => flows.push(fanOut, numbers(steps))))
    const said = Object.entries(rates).map(([name, all]) => `${name} ${Math.round(all.at(-1)!)}`)
    run.say(`${said.join(", ")} per second`)
  }
  const gaps = await gapsOf(run)
  const [plain, sequences, items] = [median(rates.plain), median(rates.sequences), median(rates.fanOut)]
  const slower = Math.min(sequences, items)
  const figures = {
    stepsPerSecond: slower,
    ratioToDrain: slower / plain,
    childStartP50Ms: percentile(gaps, 0.5),
    childStartP99Ms: percentile(gaps, 0.99),
    stepsPerSecondOf: { sequences, fanOut: items },
    plainJobsPerSecond: plain,
  }
  return { figures, versions: {}, foreignLoad: null }
}

const numbers = (count: number): number[] => Array.from({ length: Math.ceil(count) }, (_, n) => n)

/**
 * From the first start to the time at which nothing is left, per second. The worker has done 6,000 of the same before:
 * 3,000 steps are over in less time than a process needs to come to its speed, and 30,000 jobs are not.
 */
async function rate(run: Run, steps: number, push: (bench: Bench, steps: number) => Promise<unknown>): Promise<number> {
  return onBench(run, async (bench) => {
    let first: number | undefined
    let done = 0
    await using worker = workerOf(bench.app, () => {
      first ??= now()
      done += 1
    })
    await worker.start()
    await push(bench, WARM_UP)
    await until("the warm-up to end", async () => done > 0 && (await bench.idle()), 2)
    await bench.app.pauseQueue("default")
    await push(bench, steps)
    first = undefined
    done = 0
    await bench.app.resumeQueue("default")
    await until("every step to end", async () => done >= steps && (await bench.idle()), 2)
    return steps / ((now() - first!) / 1_000)
  })
}

/** Milliseconds from the end of a step's handler to the start of the next one's. */
async function gapsOf(run: Run): Promise<number[]> {
  return onBench(run, async ({ app, flows }) => {
    const gaps: number[] = []
    let ended: number | undefined
    await using worker = workerOf(app, () => {
      if (ended !== undefined) gaps.push(now() - ended)
      ended = now()
    })
    await worker.start()
    await (await flows.push(chain)).result({ timeout: "2m" })
    return gaps
  })
}

const workerOf = (app: Millrace, handle: () => void) => new Worker(app, { handlers: [step.handler(handle)] })

async function onBench<T>({ server }: Run, act: (bench: Bench) => Promise<T>): Promise<T> {
  return withDatabase(server, async (url) => {
    const flows = plugin()
    const db = await connect(url)
    await using app = new Millrace({ dsn: url, logger: false, plugins: [flows] })
    try {
      await app.migrate()
      await db.query("checkpoint")
      const idle = async () => {
        const { rows } = await db.query<{ found: boolean }>(
          "select exists (select from millrace.jobs) or exists (select from millrace.workflows where finished_at is null) as found",
        )
        return rows[0]?.found === false
      }
      return await act({ app, flows, idle })
    } finally {
      await db.end()
    }
  })
}

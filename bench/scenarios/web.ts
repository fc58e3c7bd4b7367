// How long do the dashboard's requests take over a million waiting and five million finished jobs?
import { median, percentile, type Figures } from "../figures.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { onStage } from "../stage.ts"
import { fill } from "./find.ts"

const WAITING = 1_000_000
const FINISHED_PER_WAITING = 5
const TIMES = 20

export const web: Scenario = {
  summary:
    "p95 of the dashboard's requests over 1,000,000 waiting and 5,000,000 finished jobs, and its slowest statement, in ms",
  peers: false,
  rounds: 1,
  measure,
}

async function measure({ server, side, options, say }: Run): Promise<Measurement> {
  const waiting = options.jobs ?? WAITING
  const { dashboard } = await import("../web-times.ts") // drives millrace in this process
  return onStage(server, side, async (stage) => {
    await fill(stage, waiting, waiting * FINISHED_PER_WAITING, say)
    const { requests, slowest, close } = await dashboard(stage.url)
    const p95: Figures = {}
    const p50: Figures = {}
    const statements: Figures = {}
    for (const [name, run] of requests) {
      slowest.ms = 0
      await run() // what a page costs that somebody looks at, not the first connection
      const times: number[] = []
      for (let time = 0; time < TIMES; time++) {
        const start = performance.now()
        await run()
        times.push(performance.now() - start)
      }
      p50[name] = median(times)
      p95[name] = percentile(times, 0.95)
      statements[name] = slowest.ms
      say(
        `${name.padEnd(32)} p50 ${p50[name].toFixed(1)}, p95 ${p95[name].toFixed(1)}, slowest statement ${slowest.ms.toFixed(1)} ms`,
      )
    }
    await close()
    const worst = (figures: Figures) => Math.max(...Object.values(figures).filter((value) => typeof value === "number"))
    return {
      figures: {
        waiting,
        finished: waiting * FINISHED_PER_WAITING,
        p95Ms: worst(p95),
        maxQueryMs: worst(statements),
        p95ByRequest: p95,
        p50ByRequest: p50,
        maxQueryByRequest: statements,
      },
      versions: stage.versions,
      foreignLoad: null,
    }
  })
}

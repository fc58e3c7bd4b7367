import { monotonic } from "../../lib/clock.ts"
import type { Claim, Ended } from "../../model/plugin.ts"
import type { JobState } from "../../model/state.ts"
import type { Registry } from "./registry.ts"
import type { CounterSeries, HistogramSeries } from "./series.ts"

/*
 * What jobs leave behind. Called for every batch of outcomes, so series are looked up once per run of equal jobs, and
 * nothing is made per job.
 */

/** What an attempt's end is called; the states that the database knows are about jobs, not attempts. */
const outcomes: Partial<Record<JobState, string>> = { pending: "released", scheduled: "snoozed", blocked: "parked" }

export interface Ends {
  readonly ended: CounterSeries
  readonly wait: HistogramSeries
  readonly run: HistogramSeries
  readonly settle: HistogramSeries
}

export class Recorder {
  readonly #registry: Registry
  readonly #ends = new Map<string, Ends>()
  readonly #claims = new Map<string, { readonly jobs: HistogramSeries; readonly time: HistogramSeries }>()

  constructor(registry: Registry) {
    this.#registry = registry
  }

  ended(batch: readonly Ended[]): void {
    const now = monotonic()
    let ends: Ends | undefined
    let name = ""
    let queue = ""
    let state: JobState | undefined
    for (const one of batch) {
      const { job, times } = one
      if (one.state !== state || job.name !== name || job.queue !== queue) {
        state = one.state
        name = job.name
        queue = job.queue
        ends = this.#endsOf(queue, name, state)
      }
      record(ends!, times, now)
    }
  }

  claimed({ queue, jobs, took }: Claim): void {
    let series = this.#claims.get(queue)
    if (!series) {
      const of = { queue }
      series = { jobs: this.#registry.builtIn("claims.jobs", of), time: this.#registry.builtIn("claims.time", of) }
      this.#claims.set(queue, series)
    }
    series.jobs.record(jobs.length)
    series.time.record(took)
  }

  recovered(queue: string): void {
    this.#registry.builtIn("jobs.recovered", { queue }).add()
  }

  #endsOf(queue: string, name: string, state: JobState): Ends {
    const outcome = outcomes[state] ?? state
    const key = `${outcome} ${queue} ${name}`
    const known = this.#ends.get(key)
    if (known) return known
    const labels = { queue, name, outcome }
    const registry = this.#registry
    const fresh = {
      ended: registry.builtIn("jobs.ended", labels),
      wait: registry.builtIn("jobs.wait", labels),
      run: registry.builtIn("jobs.run", labels),
      settle: registry.builtIn("jobs.settle", { queue }),
    }
    this.#ends.set(key, fresh)
    return fresh
  }
}

function record({ ended, wait, run, settle }: Ends, times: Ended["times"], now: number): void {
  ended.add()
  const waited = times.wait
  if (waited !== undefined) wait.record(waited)
  const ran = times.run
  if (ran !== undefined) run.record(ran)
  const done = times.ended
  if (done !== undefined) settle.record(now - done)
}

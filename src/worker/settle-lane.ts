import { backoffDelay } from "../lib/backoff.ts"
import { abortableSleep } from "../lib/signal.ts"
import type { Context } from "../client/context.ts"
import { insert } from "../client/pusher.ts"
import type { Transaction } from "../model/database.ts"
import type { NewJob } from "../model/job.ts"
import { cycle, noFloors, type CycleSummary } from "../postgres/jobs.ts"
import { sqlState, verdict } from "../postgres/sqlstate.ts"
import type { Home } from "./home.ts"
import { accepted, type Unsettled } from "./settlements.ts"

/*
 * The second way to settle, for outcomes that something else must be committed with: jobs pushed by the handler, or
 * what a plugin's `saving` hook writes. A transaction of several statements instead of the one fast call, so that the
 * fast call stays fast. What fails is halved until the culprit is alone; that one is tried again, and again, while its
 * neighbours go on.
 */

export interface Lane {
  readonly home: Home
  readonly queue: string
  confirmed(batch: readonly Unsettled[], summary: CycleSummary): void
  /** What it wanted to store is refused for good. */
  refused(one: Unsettled, error: unknown): void
}

const together = 500
const patience = { initial: 50, factor: 2, max: 5_000, jitter: "full" } as const

export class SettleLane {
  readonly #lane: Lane
  #waiting: Unsettled[] = []
  #running = false
  readonly #abandoned = new AbortController()

  constructor(lane: Lane) {
    this.#lane = lane
  }

  abandon(): void {
    this.#abandoned.abort()
  }

  add(one: Unsettled): void {
    this.#waiting.push(one)
    if (!this.#running) {
      this.#running = true
      setImmediate(() => void this.#run())
    }
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) await this.#deliver(this.#waiting.splice(0, together))
    this.#running = false
  }

  async #deliver(batch: readonly Unsettled[]): Promise<void> {
    try {
      await this.#attempt(batch)
    } catch (error) {
      // Without a code it may be anybody's error, whatever it sounds like.
      if (batch.length > 1 && (verdict(error) !== "retry" || sqlState(error) === "")) {
        const middle = batch.length >> 1
        await this.#deliver(batch.slice(0, middle))
        await this.#deliver(batch.slice(middle))
      } else void this.#persist(batch, error)
    }
  }

  /** Tries alone, for as long as it takes; the lane goes on meanwhile. */
  async #persist(batch: readonly Unsettled[], first: unknown): Promise<void> {
    let error = first
    for (let failures = 1; ; failures++) {
      this.#lane.home.context.log.warn(`queue "${this.#lane.queue}": outcomes could not be saved yet`, {
        jobs: batch.length,
        error: String(error),
      })
      if (batch.length === 1 && batch[0]!.attempt.pushes.length > 0 && verdict(error) === "data") {
        return this.#lane.refused(batch[0]!, error)
      }
      await this.#lane.home.repair(error)
      if (!(await abortableSleep(backoffDelay(patience, failures), this.#abandoned.signal))) return undefined
      try {
        return await this.#attempt(batch)
      } catch (again) {
        error = again
      }
    }
  }

  async #attempt(batch: readonly Unsettled[]): Promise<void> {
    const { context } = this.#lane.home
    const { summary, pushed } = await context.db.transaction((tx) => settleIn(tx, this.#lane, batch))
    for (const job of pushed) context.notices.send({ kind: job.later ? "later" : "ready", about: job.queue })
    this.#lane.confirmed(batch, summary)
  }
}

/** Settles, and with what was accepted: inserts the pushed jobs and lets the plugins write. */
async function settleIn(tx: Transaction, lane: Lane, batch: readonly Unsettled[]) {
  const { context, hooks } = lane.home
  const worker = lane.home.identity()
  const { summary } = await cycle(tx, context.names, {
    worker: worker.incarnation,
    workerId: worker.id,
    queue: lane.queue,
    settle: batch.map((one) => one.settlement),
    token: worker.incarnation,
    limit: 0,
    suspect: false,
    except: null,
    floors: noFloors,
  })
  const ended = accepted(batch, summary)
  const succeeded = new Set(ended.filter((one) => one.state === "succeeded").map((one) => one.job))
  const pushed = batch.flatMap(({ attempt }) => (succeeded.has(attempt) ? attempt.pushes : []))
  await insertPushed(tx, context, pushed)
  await hooks.saving(ended, tx)
  return { summary, pushed }
}

export async function insertPushed(tx: Transaction, { names }: Context, jobs: readonly NewJob[]): Promise<void> {
  const plain = jobs.filter((job) => job.uniqueKey === undefined)
  const unique = jobs.filter((job) => job.uniqueKey !== undefined)
  if (plain.length > 0) await insert(tx, names, plain, false)
  if (unique.length > 0) await insert(tx, names, unique, false)
}

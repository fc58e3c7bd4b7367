import { monitorEventLoopDelay } from "node:perf_hooks"
import type { Context } from "../client/context.ts"
import { monotonic } from "../lib/clock.ts"
import { describe } from "../lib/error.ts"
import { RemoteClock } from "../lib/remote-clock.ts"
import type { WorkerHealth } from "../model/health.ts"
import { coreVersion, currentVersion } from "../postgres/migrate.ts"
import { lookAtServer } from "../postgres/server.ts"

/*
 * What a worker knows of itself and of its database without asking at the moment: looked at every few seconds, so that a
 * health check costs nothing, and answers while the database does not.
 */

const loopWindow = 30_000
/** How often the loop is looked at, ms: often enough for blocks that matter, and rarely enough for an idle process. */
const loopTick = 100
/** Tables change rarely: every so many looks. */
const schemaEvery = 10

export class Vitals {
  /** The database's. */
  readonly clock = new RemoteClock()
  readonly #context: Context
  readonly #loop = monitorEventLoopDelay({ resolution: loopTick })
  #loopSince = monotonic()
  #blockedBefore = 0
  #answered: number | undefined
  #roundTrip: number | undefined
  #error: string | undefined
  #version: string | undefined
  #schema: number | undefined
  #looks = 0
  #pooler: boolean | undefined
  #looking: Promise<void> | undefined

  readonly #staleAfter: number

  /** @param every how often it is made to look, ms. */
  constructor(context: Context, every: number) {
    this.#context = context
    this.#staleAfter = Math.max(15_000, 3 * every)
  }

  /** Counts blocked time from now on. */
  start(): void {
    this.#loop.enable()
    this.#loopSince = monotonic()
  }

  stop(): void {
    this.#loop.disable()
  }

  /** One round trip. Never fails; one that hangs does not keep others from asking, and no second is sent meanwhile. */
  look(): Promise<void> {
    return (this.#looking ??= this.#look().finally(() => (this.#looking = undefined)))
  }

  async #look(): Promise<void> {
    const { db, names } = this.#context
    this.#turnWindow()
    const sent = monotonic()
    try {
      const { now, version, backend, told } = await lookAtServer(db)
      this.#answered = monotonic()
      this.#roundTrip = this.#answered - sent
      this.#error = undefined
      this.clock.learn(now, sent, this.#answered)
      this.#version = version
      if (told !== undefined) this.#pooler = told !== backend
      if (this.#looks++ % schemaEvery === 0) this.#schema = await currentVersion(db, names)
    } catch (error) {
      this.#error = describe(error)
    }
  }

  get database(): WorkerHealth["database"] {
    const age = this.#answered === undefined ? undefined : Math.round(monotonic() - this.#answered)
    return {
      reachable: age !== undefined && age < this.#staleAfter && this.#error === undefined,
      age,
      roundTrip: this.#roundTrip,
      version: this.#version,
      schema: this.#schema,
      neededSchema: coreVersion,
      pooler: this.#pooler,
      error: this.#error,
    }
  }

  /** The longest within the window, or the one before it, ms. */
  get blocked(): number {
    return Math.round(Math.max(this.#blockedNow, this.#blockedBefore))
  }

  get #blockedNow(): number {
    return Math.max(0, this.#loop.max / 1e6 - loopTick)
  }

  #turnWindow(): void {
    if (monotonic() - this.#loopSince < loopWindow) return
    this.#blockedBefore = this.#blockedNow
    this.#loop.reset()
    this.#loopSince = monotonic()
  }

  get clockDifference(): number | undefined {
    const { offset } = this.clock
    return offset === undefined ? undefined : Math.round(Date.now() - (monotonic() + offset))
  }
}

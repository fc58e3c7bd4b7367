import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import type { Context } from "../client/context.ts"
import { backoffDelay } from "../lib/backoff.ts"
import { monotonic } from "../lib/clock.ts"
import { abortableSleep } from "../lib/signal.ts"
import { failure } from "../model/errors.ts"
import type { WorkerHealth } from "../model/health.ts"
import { takeBackClaims } from "../postgres/recovery.ts"
import { announceQueues, registerWorker, removeWorker, type WorkerRow } from "../postgres/workers.ts"
import { startHeartbeat, type Heartbeat } from "./heartbeat.ts"

/*
 * A worker's row: one per incarnation. It enters under a new UUID at start and after every lost lease, so that nothing an
 * earlier incarnation left on its way can be taken for its own. While the row's lease lives, the heartbeat renews it.
 */

export interface MembershipOptions {
  readonly context: Context
  readonly id: string
  readonly tags: readonly string[]
  /** Job names that it has handlers for. */
  handlers(): readonly string[]
  /** Milliseconds. */
  readonly heartbeat: number
  readonly lease: number
  readonly hangTimeout: number
  readonly maxCrashes: number
  /** The lease is lost: abort everything. It registers anew by itself. */
  lost(): void
  /** In again, under a new incarnation. */
  entered(): void
}

const patience = { initial: 100, factor: 2, max: 5_000, jitter: "full" } as const

export class Membership {
  readonly #options: MembershipOptions
  readonly #ending = new AbortController()
  #incarnation = ""
  #heartbeat: Heartbeat | undefined
  #registering: Promise<void> | undefined
  #announced = ""

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  get incarnation(): string {
    return this.#incarnation
  }

  /** How its lease is, as far as is known here. */
  get lease(): WorkerHealth["heartbeat"] {
    const age = this.#heartbeat && Math.round(monotonic() - this.#heartbeat.renewed)
    const inside = this.#incarnation !== "" && !this.#registering && !this.#ending.signal.aborted
    return { alive: inside && age !== undefined && age < this.#options.lease, age }
  }

  /** @throws MILLRACE_WORKER_ID_TAKEN, or what the database says. */
  async enter(): Promise<void> {
    await this.#register(true)
    if (this.#incarnation === "") throw failure("MILLRACE_SHUTDOWN", "The worker was stopped while it started.")
  }

  /** Waits for nobody's lease any more. */
  giveUp(): void {
    if (this.#incarnation === "") this.#ending.abort()
  }

  /**
   * Registers. A row that has this id already may be the remains of a process that was killed: its lease is waited for.
   * At the first time, one that is renewed meanwhile belongs to a live worker, and is refused.
   */
  async #register(first: boolean): Promise<void> {
    const { context, id, lease, maxCrashes } = this.#options
    let before: { left: number; at: number } | undefined
    while (!this.#ending.signal.aborted) {
      const since = monotonic()
      const row = this.#row()
      const left = await registerWorker(context.db, context.names, row, lease)
      if (left === undefined) return this.#entered(row.incarnation, since)
      if (first && before && left > before.left - (since - before.at) + 50) throw idTaken(id)
      before ??= { left, at: since }
      if (left <= 0) await takeBackClaims(context.db, context.names, maxCrashes)
      await abortableSleep(Math.min(Math.max(left, 20), 250), this.#ending.signal)
    }
  }

  #row(): WorkerRow {
    const { id, tags, handlers } = this.#options
    return { incarnation: randomUUID(), id, hostname: hostname(), pid: process.pid, tags, handlers: handlers() }
  }

  #entered(incarnation: string, since: number): void {
    const { context, heartbeat: every, lease, hangTimeout: hang, entered } = this.#options
    this.#incarnation = incarnation
    this.#announced = ""
    const { db, names, log } = context
    this.#heartbeat = startHeartbeat({
      db,
      names,
      log,
      incarnation,
      since,
      every,
      lease,
      hang,
      lost: () => this.lose(incarnation),
    })
    entered()
  }

  /** An incarnation has lost its lease: by its heartbeat, or because a call was told so. Later news of it are old news. */
  lose(incarnation: string): void {
    if (incarnation !== this.#incarnation || this.#registering || this.#ending.signal.aborted) return
    this.#options.context.log.error(
      `worker ${this.#options.id} has lost its lease; its jobs are aborted and it registers anew`,
    )
    this.#options.lost()
    this.#registering = this.#registerAnew().finally(() => {
      this.#registering = undefined
    })
  }

  async #registerAnew(): Promise<void> {
    await this.#heartbeat?.stop()
    for (let failures = 1; !this.#ending.signal.aborted; failures++) {
      try {
        return await this.#register(false)
      } catch (error) {
        this.#options.context.log.debug("could not register anew yet", { error: String(error) })
        await abortableSleep(backoffDelay(patience, failures) + 20, this.#ending.signal)
      }
    }
  }

  /** Tells the world which queues run here; false when it knows. */
  async announce(queues: readonly string[]): Promise<boolean> {
    const text = queues.join(" ")
    if (text === this.#announced || this.#incarnation === "") return false
    const { db, names } = this.#options.context
    await announceQueues(db, names, this.#incarnation, queues)
    this.#announced = text
    return true
  }

  /** Ends the lease. The row goes too, unless something is unsaved: then others take the jobs back once it is over. */
  async leave(saved: boolean): Promise<void> {
    this.#ending.abort()
    await this.#registering
    await this.#heartbeat?.stop()
    if (!saved) return
    const { db, names, log } = this.#options.context
    await removeWorker(db, names, this.#incarnation).catch((error: unknown) => {
      log.debug("the worker's row could not be removed; it expires", { error: String(error) })
    })
  }
}

const idTaken = (id: string) =>
  failure(
    "MILLRACE_WORKER_ID_TAKEN",
    `A live worker already has the id "${id}". Give each worker its own, or leave the id out for a random one.`,
  )

import { backoffDelay } from "../lib/backoff.ts"
import { abortableSleep } from "../lib/signal.ts"
import type { Connection } from "../model/database.ts"
import { failure, isMillraceError } from "../model/errors.ts"
import type { NewJob } from "../model/job.ts"
import { insertAndNotify, insertJobs, insertUniqueJobs } from "../postgres/jobs.ts"
import type { Notice } from "../postgres/notify.ts"
import { sqlState, verdict } from "../postgres/sqlstate.ts"
import type { Names } from "../postgres/sql.ts"
import type { Notices } from "./notices.ts"

/*
 * Concurrent pushes share statements: while one insert is in flight, the next ones gather, and go together when it
 * returns. Nobody waits when nothing is in flight. A row that cannot be stored is found by halving and fails alone.
 * An insert whose reply was lost is sent again under the same ids, which is the same push.
 *
 * Pushes with unique keys travel in a lane of their own, since they may have to wait for somebody else's transaction.
 */

/** Where a pushed job ended up: under its own id, or its key is held by another one. */
export interface Placed {
  readonly id: string
  readonly queue: string
  readonly name: string
  readonly duplicate: boolean
}

interface Entry {
  readonly job: NewJob
  /** Workers shall be woken. */
  readonly wake: boolean
  readonly deadline: number
  resolve(placed: Placed): void
  reject(error: unknown): void
}

export const maxRows = 1_000
const maxBytes = 8_000_000

const retries = { initial: 20, factor: 2, max: 2_000, jitter: "full" } as const

export class Pusher {
  readonly #db: Connection
  readonly #names: Names
  readonly #notices: Notices
  readonly #timeout: number
  readonly #plain = new Lane((batch) => this.#deliver(batch, false))
  readonly #unique = new Lane((batch) => this.#deliver(batch, false))
  readonly #closed = new AbortController()

  /** @param timeout how long a push keeps trying while the database cannot be reached, ms. */
  constructor(db: Connection, names: Names, notices: Notices, timeout: number) {
    this.#db = db
    this.#names = names
    this.#notices = notices
    this.#timeout = timeout
  }

  /** Resolves when the job is committed. `resend`: the caller brought the id, and may be sending what is already there. */
  push(job: NewJob, resend: boolean, wake: boolean): Promise<Placed> {
    return new Promise((resolve, reject) => {
      const entry = { job, wake, deadline: performance.now() + this.#timeout, resolve, reject }
      if (resend) void this.#deliver([entry], true)
      else (job.uniqueKey === undefined ? this.#plain : this.#unique).add(entry)
    })
  }

  /** Several jobs, up to 1,000 per statement, each statement whole or not at all; places in the order of the jobs. */
  async pushAll(jobs: readonly NewJob[], wake: boolean): Promise<Placed[]> {
    const placed = new Map<string, Placed>()
    for (const unique of [false, true]) {
      for (const batch of batches(jobs.filter((job) => (job.uniqueKey !== undefined) === unique))) {
        const stored = await this.#persist(batch, wake ? batch : [], false, performance.now() + this.#timeout)
        batch.forEach((job, index) => placed.set(job.id, stored[index]!))
      }
    }
    return jobs.map((job) => placed.get(job.id)!)
  }

  /** Waits until nothing is under way; pushes that keep failing are given up. */
  async close(): Promise<void> {
    this.#closed.abort()
    await Promise.all([this.#plain.idle(), this.#unique.idle()])
  }

  /** Stores a batch and tells each of its callers; halves it to find a row that cannot be stored. */
  async #deliver(batch: readonly Entry[], resend: boolean, alone = false): Promise<void> {
    try {
      const deadline = Math.max(...batch.map((entry) => entry.deadline))
      const jobs = batch.map((entry) => entry.job)
      const waking = batch.filter((entry) => entry.wake).map((entry) => entry.job)
      const placed = await this.#persist(jobs, waking, resend, deadline, alone)
      batch.forEach((entry, index) => entry.resolve(placed[index]!))
    } catch (error) {
      // It keeps trying beside the lane; the others go on.
      if (batch.length === 1 && !alone && isKeyBusy(error)) return void this.#deliver(batch, resend, true)
      if (batch.length === 1 || !isolates(error)) {
        for (const entry of batch)
          entry.reject(isMillraceError(error, "MILLRACE_PUSH_UNKNOWN") ? unconfirmed([entry.job], error.cause) : error)
        return
      }
      const middle = batch.length >> 1
      await this.#deliver(batch.slice(0, middle), resend)
      await this.#deliver(batch.slice(middle), resend)
    }
  }

  /** Inserts until the database has confirmed it, whatever happens to the connection meanwhile; wakes workers for some. */
  async #persist(
    jobs: readonly NewJob[],
    waking: readonly NewJob[],
    resend: boolean,
    deadline: number,
    alone = true,
  ): Promise<Placed[]> {
    for (let failures = 0; ;) {
      try {
        return await this.#store(jobs, waking, resend)
      } catch (error) {
        if (verdict(error) !== "retry") throw error
        failures += 1
        // A busy key must not hold up the others that travel with it.
        if (isKeyBusy(error) && (jobs.length > 1 || !alone)) throw error
        const wait = backoffDelay(retries, failures)
        if (performance.now() + wait > deadline || !(await abortableSleep(wait, this.#closed.signal)))
          throw unconfirmed(jobs, error)
        resend = true
      }
    }
  }

  /** One attempt. A wake-up that is due travels with the insert; otherwise it is gathered with others. */
  async #store(jobs: readonly NewJob[], waking: readonly NewJob[], resend: boolean): Promise<Placed[]> {
    const notices = noticesOf(waking)
    if (jobs[0]?.uniqueKey === undefined && notices.length === 1 && this.#notices.mayGoNow()) {
      await insertAndNotify(this.#db, this.#names, jobs, resend, notices)
      this.#notices.tell(notices[0]!)
      return jobs.map(asked)
    }
    const placed = await insert(this.#db, this.#names, jobs, resend)
    const taken = new Set(jobs.filter((_, index) => placed[index]!.duplicate))
    for (const notice of noticesOf(waking.filter((job) => !taken.has(job)))) this.#notices.send(notice)
    return placed
  }
}

const asked = ({ id, queue, name }: NewJob): Placed => ({ id, queue, name, duplicate: false })

/** Who is to be woken for these jobs: each queue once. */
export const noticesOf = (jobs: readonly NewJob[]): Notice[] => [
  ...new Map(
    jobs.map(({ later, queue }): [string, Notice] => [
      `${later} ${queue}`,
      { kind: later ? "later" : "ready", about: queue },
    ]),
  ).values(),
]

const lockTimeout = "55P03"

const isolates = (error: unknown): boolean => verdict(error) === "data" || isKeyBusy(error)

/**
 * One attempt, on a pool or in the caller's transaction. A job whose key was held by one that finished before it could be
 * looked up goes again.
 *
 * @throws MILLRACE_KEY_BUSY when that does not end: the transaction cannot see who holds the key.
 */
export async function insert(
  db: Connection,
  names: Names,
  jobs: readonly NewJob[],
  resend: boolean,
): Promise<Placed[]> {
  if (jobs[0]?.uniqueKey === undefined) {
    await insertJobs(db, names, jobs, resend)
    return jobs.map(asked)
  }
  const placed = new Map<string, Placed>()
  let missing = jobs
  for (let round = 0; missing.length > 0; round++) {
    if (round === 20) throw keyUnseen(missing[0]!)
    for (const row of await insertUniqueJobs(db, names, missing, resend || round > 0)) {
      if (row.existing !== null)
        placed.set(row.id, { id: row.existing, queue: row.queue, name: row.name, duplicate: row.existing !== row.id })
    }
    missing = missing.filter((job) => !placed.has(job.id))
  }
  return jobs.map((job) => placed.get(job.id)!)
}

const keyUnseen = (job: NewJob) =>
  failure(
    "MILLRACE_KEY_BUSY",
    `The unique key of "${job.name}" is held by a job that this transaction cannot see. Use isolation level read committed, or push after the commit.`,
  )

export const isKeyBusy = (error: unknown): boolean => sqlState(error) === lockTimeout

/** Another transaction has inserted the key, and goes neither on nor back. */
export const keyBusy = (job: NewJob, cause: unknown) =>
  failure(
    "MILLRACE_KEY_BUSY",
    `Another transaction has held the unique key of "${job.name}" for too long; push it again later.`,
    cause,
  )

function unconfirmed(jobs: readonly NewJob[], cause: unknown) {
  if (isKeyBusy(cause)) return keyBusy(jobs[0]!, cause)
  const [job, ...others] = jobs
  return failure(
    "MILLRACE_PUSH_UNKNOWN",
    others.length === 0
      ? `The database did not confirm the push of job ${job!.id}: it may or may not be there. Push again with the same \`id\` to be sure.`
      : `The database did not confirm the push of ${jobs.length} jobs, from ${job!.id} to ${others.at(-1)!.id}: they are all there, or none is. ` +
          "Look for one of them with app.job(id).get() before pushing again.",
    cause,
  )
}

/** As many as fit into one statement: 1,000 rows or 8 MB of payload. */
export function* batches(jobs: readonly NewJob[]): Generator<NewJob[]> {
  let batch: NewJob[] = []
  let bytes = 0
  for (const job of jobs) {
    if (batch.length > 0 && (batch.length === maxRows || bytes + job.payload.length > maxBytes)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(job)
    bytes += job.payload.length
  }
  if (batch.length > 0) yield batch
}

/** Gathers entries while a batch is in flight. */
class Lane {
  readonly #deliver: (batch: readonly Entry[]) => Promise<void>
  #waiting: Entry[] = []
  #running: Promise<void> | undefined

  constructor(deliver: (batch: readonly Entry[]) => Promise<void>) {
    this.#deliver = deliver
  }

  add(entry: Entry): void {
    this.#waiting.push(entry)
    this.#running ??= Promise.resolve().then(() => this.#run())
  }

  async idle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) await this.#deliver(this.#take())
    this.#running = undefined
  }

  #take(): Entry[] {
    let bytes = 0
    let end = 0
    while (
      end < this.#waiting.length &&
      end < maxRows &&
      (end === 0 || bytes + this.#waiting[end]!.job.payload.length <= maxBytes)
    ) {
      bytes += this.#waiting[end]!.job.payload.length
      end += 1
    }
    return this.#waiting.splice(0, end)
  }
}

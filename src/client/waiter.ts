import type { Connection } from "../model/database.ts"
import { failure } from "../model/errors.ts"
import type { JobRecord } from "../model/job.ts"
import { isFinal, type JobState } from "../model/state.ts"
import { findJobs, markAwaited } from "../postgres/jobs.ts"
import { verdict } from "../postgres/sqlstate.ts"
import type { Names } from "../postgres/sql.ts"
import type { Notices } from "./notices.ts"
import { recordOf } from "./record.ts"

/*
 * Waiting for jobs. The row is flagged, so that its settlement sends a notice with its id after the commit; then the job
 * is read, since it may have finished before the flag. All waits of a process share one reading, at each notice and, as a
 * safety net, each second.
 */

export interface WaitFor {
  readonly id: string
  /** What to wait for. */
  readonly states: readonly JobState[]
  readonly deadline: number
}

interface Pending extends WaitFor {
  seen: boolean
  resolve(record: JobRecord): void
  reject(error: unknown): void
}

const safetyNet = 1_000
const withoutNotices = 150

export class Waiter {
  readonly #db: Connection
  readonly #names: Names
  readonly #notices: Notices
  readonly #pending = new Map<string, Set<Pending>>()
  #due = new Set<string>()
  #reading = false
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity
  #unsubscribe: (() => void) | undefined

  constructor(db: Connection, names: Names, notices: Notices) {
    this.#db = db
    this.#names = names
    this.#notices = notices
  }

  /**
   * Resolves with the job once it is in one of the states (or, being final, can never be).
   *
   * @throws MILLRACE_TIMEOUT at the deadline, MILLRACE_UNKNOWN_JOB when there is no such job.
   */
  wait(request: WaitFor): Promise<JobRecord> {
    return new Promise((resolve, reject) => {
      const waits = this.#pending.get(request.id) ?? new Set()
      waits.add({ ...request, seen: false, resolve, reject })
      this.#pending.set(request.id, waits)
      this.#unsubscribe ??= this.#notices.subscribe({
        notice: (notice) =>
          void (notice.kind === "done" && this.#pending.has(notice.about) && this.#check(notice.about)),
        resync: () => this.#checkAll(),
      })
      this.#check(request.id)
      this.#schedule()
    })
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#unsubscribe?.()
    for (const waits of this.#pending.values()) {
      for (const wait of waits)
        wait.reject(failure("MILLRACE_CLOSED", "The app was closed while somebody waited for a job."))
    }
    this.#pending.clear()
  }

  #check(id: string): void {
    this.#due.add(id)
    if (this.#reading) return
    this.#reading = true
    void Promise.resolve().then(() => this.#read())
  }

  #checkAll(): void {
    for (const id of this.#pending.keys()) this.#check(id)
  }

  /** Ticks at the next deadline or safety reading, whichever comes first. */
  #schedule(): void {
    if (this.#pending.size === 0) return
    let at = performance.now() + (this.#notices.arrive ? safetyNet : withoutNotices)
    for (const waits of this.#pending.values()) for (const wait of waits) at = Math.min(at, wait.deadline + 1)
    if (at >= this.#timerAt) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, at - performance.now()))
  }

  #tick(): void {
    this.#timerAt = Infinity
    this.#expire()
    this.#checkAll()
    this.#schedule()
  }

  #expire(): void {
    const now = performance.now()
    for (const [id, waits] of this.#pending) {
      for (const wait of waits) {
        if (wait.deadline > now) continue
        this.#done(id, wait)
        wait.reject(
          failure(
            "MILLRACE_TIMEOUT",
            `Job ${id} was not ${wait.states.join(" or ")} in time. It goes on; wait again or cancel it.`,
          ),
        )
      }
    }
  }

  #done(id: string, wait: Pending): void {
    const waits = this.#pending.get(id)
    waits?.delete(wait)
    if (waits?.size === 0) this.#pending.delete(id)
  }

  /** Flags new ones, reads all that are due, answers; goes on while more became due meanwhile. */
  async #read(): Promise<void> {
    while (this.#due.size > 0) {
      const ids = [...this.#due].slice(0, 1_000)
      for (const id of ids) this.#due.delete(id)
      // Whoever comes while this reads is answered by the next reading: the job may have been run again in between.
      const asked = new Map(ids.map((id) => [id, [...(this.#pending.get(id) ?? [])]]))
      try {
        const fresh = ids.filter((id) => [...(this.#pending.get(id) ?? [])].some((wait) => !wait.seen))
        const passed = fresh.length > 0 ? await markAwaited(this.#db, this.#names, fresh) : []
        for (const about of passed) this.#notices.send({ kind: "ready", about })
        this.#answer(asked, fresh, (await findJobs(this.#db, this.#names, ids)).map(recordOf))
      } catch (error) {
        if (verdict(error) !== "retry") this.#fail(ids, error)
        // Otherwise the safety net reads again.
      }
    }
    this.#reading = false
  }

  #answer(
    asked: ReadonlyMap<string, readonly Pending[]>,
    flagged: readonly string[],
    records: readonly JobRecord[],
  ): void {
    const found = new Map(records.map((record) => [record.id, record]))
    for (const [id, waits] of asked) {
      const record = found.get(id)
      for (const wait of waits) {
        if (!this.#pending.get(id)?.has(wait)) continue // out of time
        if (flagged.includes(id)) wait.seen = true
        if (!record) {
          this.#done(id, wait)
          wait.reject(
            failure(
              "MILLRACE_UNKNOWN_JOB",
              `There is no job ${id}: it never was, it was deleted, or its retention is over.`,
            ),
          )
        } else if (wait.states.includes(record.state) || isFinal(record.state)) {
          this.#done(id, wait)
          wait.resolve(record)
        } else if (leavesNothing(record) && wait.states.some(isFinal)) {
          this.#done(id, wait)
          wait.reject(
            failure(
              "MILLRACE_NO_RESULT",
              `Job ${id} leaves nothing behind when it finishes (retention "none"), so nobody can see its end. Push it with a retention.`,
            ),
          )
        }
      }
    }
  }

  #fail(ids: readonly string[], error: unknown): void {
    for (const id of ids) {
      for (const wait of [...(this.#pending.get(id) ?? [])]) {
        this.#done(id, wait)
        wait.reject(error)
      }
    }
  }
}

const leavesNothing = ({ retention }: JobRecord): boolean => retention.succeeded === 0

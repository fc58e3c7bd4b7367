import { abortableSleep, Signal } from "../lib/signal.ts"
import type { Connection, Database, Listening } from "../model/database.ts"
import type { Logger } from "../model/log.ts"
import { decodeNotice, sendNotices, type Notice } from "../postgres/notify.ts"
import type { Names } from "../postgres/sql.ts"

/*
 * Wake-ups. They go out after commit on a connection of their own: NOTIFY inside the transaction of an insert takes a
 * lock for the whole cluster until the commit, which costs most of the commit throughput. The first notice of a quiet
 * moment goes at once; under load they are gathered, each queue once per window. One that gets lost costs a poll interval.
 */

const shortWindow = 5
/** From this many notices per window on, they are gathered for longer: nobody waits for one among so many. */
const many = 16
const longWindow = 25

export interface NoticeEvents {
  notice(notice: Notice): void
  /** Notices may have been missed: look at everything. */
  resync?(): void
}

export class Notices {
  readonly #db: Database
  readonly #names: Names
  readonly #log: Logger
  readonly #enabled: boolean
  readonly #subscribers = new Set<NoticeEvents>()
  #pending = new Map<string, Notice>()
  #sending: Promise<void> | undefined
  #lastSent = -Infinity
  /** Notices since the last sending, repeated ones included. */
  #gathered = 0
  #window = shortWindow
  #timer: NodeJS.Timeout | undefined
  #listening: Listening | undefined
  readonly #heard = new Signal()
  #arrives = false
  #listens = false

  constructor(db: Database, names: Names, log: Logger, enabled: boolean) {
    this.#db = db
    this.#names = names
    this.#log = log
    this.#enabled = enabled
  }

  get enabled(): boolean {
    return this.#enabled
  }

  /** Whether notifications are known to arrive here. */
  get arrive(): boolean {
    return this.#arrives
  }

  /** Whether the listening session is open. */
  get listens(): boolean {
    return this.#listens
  }

  /** Queues a notice for sending; never fails, never waits. Subscribers in this process hear it at once. */
  send(notice: Notice): void {
    this.tell(notice)
    if (!this.#enabled) return
    this.#pending.set(`${notice.kind} ${notice.about}`, notice)
    this.#gathered += 1
    this.#schedule()
  }

  /** Only subscribers in this process. */
  tell(notice: Notice): void {
    for (const subscriber of this.#subscribers) subscriber.notice(notice)
  }

  /** Whether a notice may go with a statement that is about to be sent; if so, it counts as sent. */
  mayGoNow(): boolean {
    if (!this.#enabled || this.#sending || this.#timer) return false
    if (this.#lastSent + this.#window > performance.now()) return false
    this.#lastSent = performance.now()
    this.#window = shortWindow
    return true
  }

  /** Sends at once when the last sending is a window ago, else when it will be. */
  #schedule(): void {
    if (this.#sending || this.#timer || this.#pending.size === 0) return
    const wait = this.#lastSent + this.#window - performance.now()
    if (wait <= 0) this.#flush()
    else this.#timer = setTimeout(() => this.#flush(), wait)
  }

  /** Sends inside the caller's transaction: delivered when, and if, it commits. */
  async sendIn(tx: Connection, notices: readonly Notice[]): Promise<void> {
    if (this.#enabled && notices.length > 0) await sendNotices(tx, this.#names, notices)
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#pending.size === 0 || this.#sending) return
    const notices = [...this.#pending.values()]
    this.#pending = new Map()
    this.#window = this.#gathered >= many ? longWindow : shortWindow
    this.#gathered = 0
    this.#lastSent = performance.now()
    this.#sending = sendNotices(this.#db, this.#names, notices)
      .catch((error: unknown) =>
        this.#log.debug("wake-ups could not be sent; workers find the jobs by polling", { error: String(error) }),
      )
      .finally(() => {
        this.#sending = undefined
        this.#schedule()
      })
  }

  /** Hears notices from now on; returns its own remover. The listening session opens with the first subscriber. */
  subscribe(events: NoticeEvents): () => void {
    this.#subscribers.add(events)
    if (this.#enabled && !this.#listening) this.#listening = this.#listen()
    return () => void this.#subscribers.delete(events)
  }

  #listen(): Listening {
    return this.#db.listen(this.#names.channel, {
      message: (payload) => {
        this.#arrives = true
        this.#heard.notify()
        const notice = decodeNotice(payload)
        if (!notice || notice.kind === "test") return
        for (const subscriber of this.#subscribers) subscriber.notice(notice)
      },
      listening: () => {
        this.#listens = true
        this.#probe()
        this.#resync()
      },
      lost: (error) => {
        // Where nothing has ever arrived, that has been said already.
        const level = this.#arrives ? "warn" : "debug"
        this.#arrives = false
        this.#listens = false
        this.#log[level]("the listening connection was lost; polling until it is back", { error: String(error) })
        this.#resync()
      },
    })
  }

  #resync(): void {
    for (const subscriber of this.#subscribers) subscriber.resync?.()
  }

  /** Sends ourselves a notice: a pooler in transaction mode accepts LISTEN and delivers nothing, without an error. */
  #probe(): void {
    sendNotices(this.#db, this.#names, [{ kind: "test", about: "self" }]).catch(() => {})
  }

  /** Waits until a notification has arrived; false when none does within `ms`. */
  async arriveWithin(ms: number): Promise<boolean> {
    return this.#arrives || (await this.#heard.wait(ms)) || this.#arrives
  }

  /** Sends what is gathered, for as long as that takes a moment; a wake-up that is lost costs a poll. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#listening?.close()
    const late = new AbortController()
    const flushed = (async () => {
      await this.#sending
      this.#flush()
      await this.#sending
    })()
    await Promise.race([flushed, abortableSleep(1_000, late.signal)])
    late.abort()
  }
}

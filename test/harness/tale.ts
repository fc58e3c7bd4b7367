// Hand-made evidence for the checker: a job's life, told step by step, and what processes noted of it.
import type { Evidence, Struck } from "../../faults/evidence.ts"
import type { Final, LeaseMove, Ledger, Move } from "../../faults/ledger.ts"
import type { Entry, Note, Script } from "../../faults/record.ts"

type Writable<T> = { -readonly [K in keyof T]: T[K] }

const script: Script = { mark: "", ms: 1, fails: 0, snoozes: 0, obey: true }

export class Tale {
  readonly entries: Entry[] = []
  readonly struck: Struck[] = []
  readonly moves: Writable<Move>[] = []
  readonly leases: LeaseMove[] = []
  readonly finals: Writable<Final>[] = []
  readonly effects: Ledger["effects"][number][] = []
  readonly saves: Ledger["saves"][number][] = []
  readonly ticks: Ledger["ticks"][number][] = []
  readonly left: Ledger["left"][number][] = []
  readonly deserters: Evidence["deserters"][number][] = []
  drainedIn: number | undefined = 1
  #clock = 1_000

  /** ms; all clocks agree. */
  get now(): number {
    return this.#clock
  }

  pass(ms: number): this {
    this.#clock += ms
    return this
  }

  note(by: string, note: Note): this {
    this.entries.push({ ...note, at: this.#clock, by })
    return this
  }

  /** Pushed by p0.1 and acknowledged, unless told otherwise. */
  pushed(id: string, name = "task", change: Partial<Script> & { key?: string; silent?: boolean } = {}): this {
    const { key, silent, ...rest } = change
    this.note("p0.1", { t: "push", mark: `of-${id}`, job: name, script: { ...script, ...rest, mark: `of-${id}` }, maxAttempts: 6, key }) // prettier-ignore
    this.pass(1).move({
      id,
      name,
      op: "insert",
      now: "pending",
      mark: `of-${id}`,
      key: key === undefined ? null : `g|${key}`,
    })
    return silent ? this : this.pass(1).note("p0.1", { t: "pushed", mark: `of-${id}`, id, duplicate: false })
  }

  /** A row of the ledger; what is not said stays as the job's last row left it. */
  move(change: Partial<Move> & { id: string }): this {
    const last = this.moves.findLast((move) => move.id === change.id)
    const { claims = 0, attempts = 0, crashes = 0 } = last ?? {}
    const known = { claims, attempts, crashes, claims0: claims, attempts0: attempts, crashes0: crashes }
    const rest = { xid: "1", was: last?.now ?? null, now: null, token0: last?.token ?? null, token: null, worker: null }
    const what = { key: last?.key ?? null, mark: null, name: last?.name ?? "task", rank: 0, due: this.#clock }
    this.moves.push({ seq: this.moves.length, at: this.#clock, op: "update", ...known, ...rest, ...what, ...change })
    return this
  }

  claimed(id: string, claims: number, worker = "w0.1"): this {
    return this.pass(1).move({ id, was: "pending", now: "running", claims, token: `token-${id}-${claims}`, worker })
  }

  started(id: string, claims: number, worker = "w0.1"): this {
    return this.pass(1).note(worker, { t: "start", id, claims, attempt: 1, crashes: 0 })
  }

  ended(id: string, claims: number, how: "return" | "throw" | "snooze" = "return", worker = "w0.1"): this {
    return this.pass(1).note(worker, { t: "end", id, claims, how })
  }

  /** Claimed, started and returned. */
  run(id: string, claims: number, worker = "w0.1"): this {
    return this.claimed(id, claims, worker).started(id, claims, worker).ended(id, claims, "return", worker)
  }

  /** Taken back from its lost worker. */
  takenBack(id: string, worker = "w0.1"): this {
    const { crashes } = this.moves.findLast((move) => move.id === id)!
    return this.pass(1).move({ id, now: "pending", crashes: crashes + 1, worker })
  }

  /** Settled as it should be, unless told otherwise. */
  finished(id: string, state = "succeeded", change: Partial<Final> = {}): this {
    const last = this.moves.findLast((move) => move.id === id)!
    const attempts = last.attempts + 1
    this.pass(1).move({ id, op: "delete", now: null })
    const counts = { claims: last.claims, crashes: last.crashes, attempts }
    this.move({ id, op: "history", was: null, now: state, ...counts, claims0: 0, attempts0: 0, crashes0: 0 })
    this.finals.push({ id, name: last.name, state, ...counts, max_attempts: 6, result: { claims: last.claims }, snoozed: 0, asked: false, mark: `of-${id}`, error: null, ...change }) // prettier-ignore
    return this
  }

  fault(kind: Struck["kind"], target: string, ms = 0): this {
    const from = this.#clock
    this.struck.push({ at: from, for: ms, kind, target, cuts: false, from, until: from + ms })
    return this
  }

  get evidence(): Evidence {
    const { entries, struck, deserters, drainedIn, moves, leases, finals, left, effects, saves, ticks } = this
    const ledger = { moves, leases, finals, left, effects, saves, ticks }
    return { entries, struck, deserters, drainedIn, stalls: [], offset: 0, ledger }
  }
}

import type { Transaction } from "../model/database.ts"
import type { Attempt } from "../model/executor.ts"
import { failure } from "../model/errors.ts"
import type { Report } from "../model/outcome.ts"
import { packError, packReport, packValue, unpackReport, type PackedReport } from "../model/wire.ts"
import { seal, unseal, type FromSeat, type JobMessage, type ToSeat } from "./messages.ts"

/** Where a call runs. */
export interface Post {
  post(message: ToSeat): void
}

type Ask = Extract<FromSeat, readonly ["ask", ...unknown[]]>

interface Answers {
  answer(sealed: string | null): void
  refuse(error: unknown): void
}

/** A transaction that the worker holds open for a job elsewhere. */
interface Open {
  /** Who waits for what becomes of it: whoever asked last. */
  asked: Answers
  tx?: Transaction
  end?(report: PackedReport): void
}

/** One handler call in a thread or process, from the worker's side: one job, or one batch. */
export class Call {
  readonly attempts: readonly Attempt[]
  readonly #number: number
  readonly #resolve: (reports: readonly Report[]) => void
  readonly #open = new Map<number, Open>()
  /** Jobs that were judged without it. */
  readonly #killed = new Set<Attempt>()
  #post: Post | undefined
  #ended = false

  constructor(number: number, attempts: readonly Attempt[], resolve: (reports: readonly Report[]) => void) {
    this.#number = number
    this.attempts = attempts
    this.#resolve = resolve
  }

  /** Whether somebody still waits for one of its jobs. */
  get wanted(): boolean {
    return this.#killed.size < this.attempts.length
  }

  killed(attempt: Attempt): void {
    this.#killed.add(attempt)
  }

  /** Sends the jobs off: from here on their time limits count. */
  begin(post: Post): void {
    this.#post = post
    const module = this.attempts[0]!.handler!.module!
    post.post(["run", this.#number, module, this.attempts.map(jobMessage)])
    for (const [index, attempt] of this.attempts.entries()) {
      attempt.started()
      const { signal } = attempt
      const abort = () => this.#ended || post.post(["abort", this.#number, index, packError(signal.reason)])
      if (signal.aborted) abort()
      else signal.addEventListener("abort", abort, { once: true })
    }
  }

  /** @returns whether that was its end. */
  receive(message: FromSeat): boolean {
    if (message[0] === "ready" || message[0] === "broken" || message[1] !== this.#number) return false
    switch (message[0]) {
      case "done":
        this.#done(message[2], message[3])
        return true
      case "progress":
        this.attempts[message[2]]?.progress(JSON.parse(message[3]))
        return false
      case "log":
        log(this.attempts[message[2]], message)
        return false
      case "push":
        adopt(this.attempts[message[2]], message)
        return false
      case "ask":
        void this.#answer(message)
        return false
    }
  }

  #done(packed: readonly PackedReport[], metas: readonly (string | null)[]): void {
    for (const [index, meta] of metas.entries()) if (meta !== null) replaceMeta(this.attempts[index]!, meta)
    this.#end(packed.map(unpackReport))
  }

  /** It will never answer. */
  fail(error: unknown): void {
    this.#end(this.attempts.map((): Report => ({ ok: false, error })))
  }

  #end(reports: readonly Report[]): void {
    if (this.#ended) return
    this.#ended = true
    // The handler did not wait for them, or is gone: nothing of theirs may be committed.
    for (const open of this.#open.values()) open.end?.(packReport({ ok: false, error: abandoned() }))
    this.#open.clear()
    this.#resolve(reports)
  }

  // ---- transactions ---------------------------------------------------------------------------------------------------

  async #answer([, , job, question, kind, value]: Ask): Promise<void> {
    const answer = (sealed: string | null, wrong: PackedReport = null): void => {
      if (!this.#ended) this.#post!.post(["answer", question, sealed, wrong])
    }
    const answers: Answers = { answer, refuse: (error) => answer(null, packReport({ ok: false, error })) }
    const open = this.#open.get(job)
    if (kind === "begin") return open ? answers.refuse(nested()) : this.#begin(job, answers)
    if (!open?.tx) return answers.refuse(abandoned())
    if (kind === "query") return query(open.tx, value, answers)
    open.asked = answers
    open.end!(JSON.parse(value) as PackedReport)
  }

  #begin(job: number, asked: Answers): void {
    const open: Open = { asked }
    this.#open.set(job, open)
    const run = (tx: Transaction) =>
      new Promise<never>((resolve, reject) => {
        open.tx = tx
        open.end = (packed) => {
          const report = unpackReport(packed)
          if (report.ok) resolve(report.value as never)
          else reject(report.error)
        }
        if (this.#ended) reject(abandoned())
        else open.asked.answer(null)
      })
    this.attempts[job]!.transaction(run, true)
      .then(
        (value) => open.asked.answer(packValue(value)),
        (error: unknown) => open.asked.refuse(error),
      )
      .finally(() => this.#open.delete(job))
  }
}

async function query(tx: Transaction, sealed: string, { answer, refuse }: Answers): Promise<void> {
  try {
    const [text, values] = unseal(sealed) as [string, readonly unknown[] | undefined]
    answer(seal(await tx.query(text, values)))
  } catch (error) {
    refuse(error)
  }
}

const jobMessage = (attempt: Attempt): JobMessage => [
  attempt.id,
  attempt.name,
  attempt.attempt,
  attempt.maxAttempts,
  attempt.crashes,
  attempt.claims,
  attempt.payloadText,
  attempt.timeout ?? 0,
  attempt.metaText ?? null,
  attempt.tags.length > 0 ? attempt.tags : null,
]

/** The object stays the same one: hooks may hold it. */
function replaceMeta({ meta }: Attempt, text: string): void {
  for (const key of Object.keys(meta)) delete meta[key]
  Object.assign(meta, JSON.parse(text))
}

function log(
  attempt: Attempt | undefined,
  [, , , level, text, fields]: Extract<FromSeat, readonly ["log", ...unknown[]]>,
) {
  attempt?.log[level](text, fields === null ? undefined : (JSON.parse(fields) as object))
}

/** What comes too late is dropped, as it is with a handler on the event loop, which is told by an error. */
function adopt(attempt: Attempt | undefined, [, , , job]: Extract<FromSeat, readonly ["push", ...unknown[]]>): void {
  try {
    attempt?.adopt(job)
  } catch {
    // Its job has ended, so it was to be dropped.
  }
}

const abandoned = () =>
  failure("MILLRACE_ROLLED_BACK", "The handler ended before its transaction did, so nothing of it was committed.")

const nested = () =>
  failure(
    "MILLRACE_BAD_TRANSACTION",
    "job.transaction was called while one of this job was open; there can be only one.",
  )

import type { Refusal } from "../../client/bulk.ts"
import type { Context } from "../../client/context.ts"
import type { Millrace } from "../../client/millrace.ts"
import { recordOf } from "../../client/record.ts"
import { describe } from "../../lib/error.ts"
import { uuidv7 } from "../../lib/uuid.ts"
import { findIds, findPart } from "../../postgres/find.ts"
import { findJobs } from "../../postgres/jobs.ts"
import type { Rule } from "../../model/rule.ts"
import { actions, undo, type ActionName } from "./operation-actions.ts"
import {
  claimUndo,
  endOperation,
  insertOperation,
  touchOperation,
  type NewOperation,
  type OperationRow,
} from "./operation-store.ts"
import type { ParsedHandler } from "./options.ts"
import { looks } from "./limits.ts"
import { forgetRows, keepBelongings, keepRows, keptRows } from "./recycle-bin.ts"
import type { Visitor } from "./visitor.ts"

/*
 * Acting on many jobs, on the server: the browser may be closed meanwhile. The process that was asked goes through the jobs
 * chunk by chunk, newest first, and writes down how far it came; any process can tell of it, and stop it between two chunks.
 */

const chunk = 100
const mostRefusals = 100

export interface Wanted {
  readonly action: ActionName
  readonly rule: Rule
  readonly scan: boolean
  /** As given, for whoever reads it later. */
  readonly input: Readonly<Record<string, unknown>>
  readonly total: NewOperation["total"]
  readonly limit: number | undefined
  readonly visitor: Visitor
  readonly permission: string
}

interface Tally {
  matched: number
  changed: number
  refused: number
  kept: number
  refusals: Refusal[]
}

export class Operations {
  readonly #app: Millrace
  readonly #context: Context
  readonly #options: ParsedHandler
  #closing = new AbortController()
  readonly #running = new Set<Promise<void>>()

  constructor(app: Millrace, context: Context, options: ParsedHandler) {
    this.#app = app
    this.#context = context
    this.#options = options
  }

  /** Begins, and returns at once. */
  async start(wanted: Wanted): Promise<OperationRow> {
    const { db, names } = this.#context
    const { action, input, total, visitor } = wanted
    const row = await insertOperation(db, names, { id: uuidv7(), action, input, total, createdBy: visitor.name })
    this.#inBackground(row.id, (tally) => this.#through(row.id, wanted, tally))
    return row
  }

  /** Begins to undo a finished one; undefined: that is being done already. */
  async startUndo(of: OperationRow, visitor: Visitor): Promise<OperationRow | undefined> {
    const { db, names } = this.#context
    const id = uuidv7()
    if (!(await claimUndo(db, names, of.id, id))) return undefined
    const total = { value: of.kept, capped: false }
    const row = await insertOperation(db, names, {
      id,
      action: "undo",
      input: { action: of.action },
      undoes: of.id,
      total,
      createdBy: visitor.name,
    })
    this.#inBackground(id, (tally) => this.#back(id, of, tally))
    return row
  }

  /** Stops what runs here between two chunks, and waits for it. */
  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.allSettled(this.#running)
    this.#closing = new AbortController() // a plugin may be started again
  }

  #inBackground(id: string, run: (tally: Tally) => Promise<boolean>): void {
    const { db, names, log } = this.#context
    const tally: Tally = { matched: 0, changed: 0, refused: 0, kept: 0, refusals: [] }
    const work = (async () => {
      try {
        const whole = await run(tally)
        await endOperation(db, names, id, whole ? "done" : "stopped", undefined)
      } catch (error) {
        log.error("web: an operation failed", { operation: id, error: describe(error) })
        await endOperation(db, names, id, "failed", describe(error)).catch(() => {})
      }
    })()
    this.#running.add(work)
    void work.finally(() => this.#running.delete(work))
  }

  /** @returns whether it came to the end. */
  async #through(id: string, wanted: Wanted, tally: Tally): Promise<boolean> {
    let before: string | undefined
    for (;;) {
      const left = Math.min(chunk, (wanted.limit ?? Infinity) - tally.matched)
      if (left <= 0) return true
      const next = await this.#next(wanted, left, before)
      tally.matched += next.ids.length
      if (next.ids.length > 0) await this.#act(id, wanted, next.ids, tally)
      if (await this.#stops(id, tally)) return next.before === undefined
      if (next.before === undefined) return true
      before = next.before
    }
  }

  async #next({ rule, scan }: Wanted, limit: number, before: string | undefined) {
    const { db, names } = this.#context
    if (!scan) {
      const ids = await findIds(db, names, { rule, limit, before })
      return { ids, before: ids.length < limit ? undefined : ids.at(-1) }
    }
    const part = await findPart(db, names, { rule, limit, before, most: looks })
    return { ids: part.rows.map((row) => row.id), before: part.reached }
  }

  async #act(id: string, wanted: Wanted, all: readonly string[], tally: Tally): Promise<void> {
    const { db, names } = this.#context
    const ids = await this.#permitted(wanted, all, tally)
    if (ids.length === 0) return
    const action = actions[wanted.action]
    const keeps = action.undoable && tally.kept + ids.length <= this.#options.recycleBin
    if (keeps) tally.kept += await keepRows(db, names, id, ids)
    if (keeps && wanted.action === "delete") await keepBelongings(db, names, id, ids)
    const refusals = await action.run({ app: this.#app, context: this.#context, input: wanted.input }, ids)
    if (keeps) {
      const refused = refusals.map((refusal) => refusal.id)
      tally.kept -= await forgetRows(db, names, id, refused)
    }
    tally.changed += ids.length - refusals.length
    this.#refuse(tally, refusals)
  }

  /** Those that the resolver lets this visitor act on. */
  async #permitted({ visitor, permission }: Wanted, ids: readonly string[], tally: Tally): Promise<readonly string[]> {
    const { authorize } = this.#options
    if (!authorize) return ids
    const fine: string[] = []
    const rows = await findJobs(this.#context.db, this.#context.names, ids)
    for (const job of rows.map(recordOf)) {
      if (await authorize({ visitor, permission, job, queue: job.queue })) fine.push(job.id)
    }
    const kept = new Set(fine)
    const refused = ids.filter((id) => !kept.has(id))
    const text = (id: string) => `Job ${id}: you may not do this to it.`
    this.#refuse(
      tally,
      refused.map((id) => ({ id, code: "MILLRACE_UNKNOWN_JOB", message: text(id) })),
    )
    return fine
  }

  #refuse(tally: Tally, refusals: readonly Refusal[]): void {
    tally.refused += refusals.length
    tally.refusals.push(...refusals.slice(0, mostRefusals - tally.refusals.length))
  }

  async #back(id: string, of: OperationRow, tally: Tally): Promise<boolean> {
    const { db, names } = this.#context
    let after = "00000000-0000-0000-0000-000000000000"
    for (;;) {
      const rows = await keptRows(db, names, of.id, after, chunk)
      if (rows.length > 0) {
        const refusals = await undo({ app: this.#app, context: this.#context, input: of.input }, of, rows)
        tally.matched += rows.length
        tally.changed += rows.length - refusals.length
        this.#refuse(tally, refusals)
      }
      if (await this.#stops(id, tally)) return rows.length < chunk
      if (rows.length < chunk) return true
      after = rows.at(-1)!.job
    }
  }

  async #stops(id: string, tally: Tally): Promise<boolean> {
    const { db, names } = this.#context
    return (await touchOperation(db, names, id, tally)) || this.#closing.signal.aborted
  }
}

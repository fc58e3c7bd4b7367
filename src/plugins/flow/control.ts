import { encodeJson } from "../../lib/json.ts"
import type { CallerTransaction, Transaction } from "../../model/database.ts"
import { failure } from "../../model/errors.ts"
import type { AppContext } from "../../model/plugin.ts"
import { fromTransaction } from "../../postgres/adapters/pg.ts"
import { plainArray } from "../../postgres/sql.ts"
import { sqlState } from "../../postgres/sqlstate.ts"
import { badId } from "./problems.ts"
import { checkId } from "./records.ts"
import { closeRuns } from "./sweep.ts"

/** What is done to runs from outside. */

export interface SignalOptions {
  /** Your own open transaction: the signal arrives when you commit. */
  readonly tx?: CallerTransaction
  /** Two signals of one name and this key are one: for a caller that may send twice. */
  readonly key?: string
}

/** @throws MILLRACE_UNKNOWN_JOB, MILLRACE_JOB_FINISHED, MILLRACE_BAD_JSON, MILLRACE_PAYLOAD_TOO_LARGE, MILLRACE_BAD_ID. */
export async function sendSignal(
  app: AppContext,
  given: string,
  name: string,
  payload: unknown,
  { tx, key }: SignalOptions = {},
): Promise<void> {
  const { db, names, config } = app
  const id = checkId(given)
  if (!signalName.test(name)) throw badId("flows.signal", name)
  if (key !== undefined && !signalName.test(key)) throw badId("flows.signal.key", key)
  const { rows } = await (tx ? fromTransaction(tx) : db).query<{ outcome: string }>(
    `select ${names.of("flow_signal_1")}($1, $2, $3::text::json, $4, $5) as outcome`,
    [id, name, textOf(name, payload, config.maxPayload), key ?? null, config.notifications ? names.channel : null],
  )
  if (rows[0]!.outcome === "unknown") throw unknownFlow(id)
  if (rows[0]!.outcome === "finished")
    throw failure("MILLRACE_JOB_FINISHED", `Flow ${id} has finished, so nobody waits for a signal "${name}" any more.`)
}

const signalName = /^[^#\0\p{Cs}]{1,200}$/u

function textOf(name: string, payload: unknown, limit: number): string | null {
  if (payload === undefined) return null
  const json = encodeJson(payload)
  if ("problem" in json) {
    const text = `The payload of the signal "${name}" cannot be stored as JSON: ${json.path ?? "$"} ${json.problem}.`
    throw failure("MILLRACE_BAD_JSON", text)
  }
  if (json.bytes <= limit) return json.text
  const text = `The payload of the signal "${name}" is ${json.bytes} bytes of JSON, over the limit of ${limit}.`
  throw failure("MILLRACE_PAYLOAD_TOO_LARGE", text)
}

/** @throws MILLRACE_UNKNOWN_JOB, MILLRACE_BAD_ID. */
export async function cancelFlow({ client, db, names }: AppContext, id: string, reason: string | undefined) {
  const outcome = await client.job(checkId(id)).cancel(reason)
  if (outcome === "cancelled")
    await db.query(
      closeRuns((name) => names.of(name)),
      [plainArray([id.toLowerCase()])],
    )
  return outcome
}

export interface ResumeOptions {
  /** Forgets this step, and every step that the code asked for after it: they are run again. */
  readonly from?: string
}

/**
 * Runs a flow again that has ended. What is stored stays stored; of what failed, only the last is tried again.
 *
 * @throws MILLRACE_UNKNOWN_JOB, MILLRACE_JOB_RUNNING, MILLRACE_KEY_TAKEN, MILLRACE_BAD_OPTION, MILLRACE_BAD_ID.
 */
export async function resumeFlow(app: AppContext, given: string, { from }: ResumeOptions = {}): Promise<void> {
  const { db, names, wakeQueue } = app
  const id = checkId(given)
  const queue = await db
    .transaction(async (tx) => {
      await requireEnded(tx, app, id)
      await forget(tx, app, id, from)
      const { rows } = await tx.query<{ outcome: string; queue: string }>(
        `select * from ${names.of("retry_1")}(null, $1)`,
        [id],
      )
      if (!rows[0]) throw unknownFlow(id)
      await tx.query(
        `update ${names.of("flow_runs")} set state = 'running', finished_at = null, error = null, updated_at = now() where id = $1`,
        [id],
      )
      return rows[0].queue
    })
    .catch((error: unknown) => {
      if (sqlState(error) !== "23505") throw error
      throw failure(
        "MILLRACE_KEY_TAKEN",
        `Flow ${id} cannot go on: another unfinished job holds its unique key.`,
        error,
      )
    })
  wakeQueue(queue)
}

async function requireEnded(tx: Transaction, { names }: AppContext, id: string): Promise<void> {
  const { rows } = await tx.query(`select 1 from ${names.of("jobs")} where id = $1 for update`, [id])
  if (rows.length === 0) return
  throw failure("MILLRACE_JOB_RUNNING", `Flow ${id} has not ended: it goes on by itself, or when its signal comes.`)
}

async function forget(tx: Transaction, { names }: AppContext, id: string, from: string | undefined): Promise<void> {
  const steps = names.of("flow_steps")
  const first =
    from === undefined
      ? // A failure that nothing came after is what ended the run.
        `select coalesce(max(seq) filter (where status <> 'failed'), 0) + 1 as seq from ${steps} where run = $1`
      : `select seq from ${steps} where run = $1 and key = $2`
  const { rows } = await tx.query<{ seq: number }>(first, from === undefined ? [id] : [id, from])
  if (!rows[0]) throw failure("MILLRACE_BAD_OPTION", `Flow ${id} has no step "${from}"; flows.get(id) lists them.`)
  await tx.query(
    `with gone as (delete from ${steps} where run = $1 and seq >= $2 returning key)
     update ${names.of("flow_inbox")} set taken_by = null where run = $1 and kind = 'signal' and taken_by = any(array(select key from gone))`,
    [id, rows[0].seq],
  )
}

const unknownFlow = (id: string) =>
  failure("MILLRACE_UNKNOWN_JOB", `There is no flow ${id}: it never was, it was deleted, or its retention is over.`)

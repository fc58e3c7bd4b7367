import { setTimeout as pause } from "node:timers/promises"
import { backoffDelay } from "../../lib/backoff.ts"
import { monotonic } from "../../lib/clock.ts"
import type { Connection, Database } from "../../model/database.ts"
import { failure, type ErrorRecord } from "../../model/errors.ts"
import type { PluginNames } from "../../model/plugin.ts"
import { plainArray, textArray } from "../../postgres/sql.ts"
import { explained } from "../../postgres/missing.ts"
import { verdict } from "../../postgres/sqlstate.ts"

/*
 * What an execution says to the database. Every write names the claim's token and is checked against it under a lock, so
 * that a worker whose claim was taken back stores nothing. Everything may be sent twice.
 */

export type Kind = "step" | "transaction" | "sleep" | "signal" | "push" | "result" | "value" | "patched"

/** A stored step. Undefined `ord`: it has not ended. */
export interface Step {
  readonly key: string
  readonly seq: number
  readonly kind: Kind
  readonly name?: string | undefined
  status: "waiting" | "retrying" | "done" | "failed"
  ord?: number | undefined
  value?: unknown
  error?: StoredError | undefined
  attempts: number
  /** Unix ms, by the database's clock. */
  until?: number | undefined
  child?: string | undefined
  /** When its first attempt began here, by this machine's monotonic clock. */
  begun?: number | undefined
}

/** An error that was stored, and is thrown again at each replay. */
export interface StoredError {
  readonly code: string
  readonly message: string
  readonly cause?: ErrorRecord | undefined
}

/** What arrived for a run: a signal, or how a pushed job ended. */
export interface Arrival {
  readonly id: number
  readonly kind: "signal" | "child"
  readonly name: string
  readonly payload: unknown
  readonly nothing: boolean
}

export interface News {
  /** Unix ms, by the database's clock. */
  readonly now: number
  readonly inbox: readonly Arrival[]
}

export interface Begun {
  readonly token: string
  readonly news: News
  readonly steps: readonly Step[]
}

/** A step as it is written; `text` is the JSON of its value, and `delayMs` counts from the database's now. */
export interface Write {
  readonly step: Step
  readonly text?: string | undefined
  readonly delayMs?: number | undefined
  readonly takes?: Arrival | undefined
}

export interface Stored {
  readonly now: number
  /** Unix ms by key. */
  readonly times: Readonly<Record<string, number>> | null
}

/** The claim that an execution holds. */
export interface Claim {
  readonly id: string
  readonly token: string
}

const patience = { initial: 20, factor: 2, max: 2_000, jitter: "full" } as const

/** Sends again what failed for reasons that pass, until `signal` fires: then the last error stands. */
export async function persist<T>(signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await run()
    } catch (error) {
      if (verdict(error) !== "retry" || (signal.aborted && failures > 3)) throw explained(error)
      await pause(backoffDelay(patience, failures))
    }
  }
}

type Raw = Step & { readonly nothing: boolean }

/** @returns undefined when the claim is not valid. */
export async function begin(
  db: Connection,
  names: PluginNames,
  job: { readonly id: string; readonly claims: number; readonly token: string | undefined; readonly name: string },
): Promise<Begun | undefined> {
  const text = await one(db, `select ${names.of("flow_begin_1")}($1, $2, $3, $4) as text`, [
    job.id,
    job.claims,
    job.token ?? null,
    job.name,
  ])
  if (text === null) return undefined
  const { token, news, steps } = JSON.parse(text) as { token: string; news: News; steps: Raw[] }
  return { token, news, steps: steps.map(stepOf) }
}

const stepOf = ({ nothing, name, ord, error, until, child, value, ...rest }: Raw): Step => ({
  ...rest,
  name: name ?? undefined,
  ord: ord ?? undefined,
  value: nothing ? undefined : value,
  error: error ?? undefined,
  until: until ?? undefined,
  child: child ?? undefined,
})

export async function readNews(db: Connection, names: PluginNames, id: string): Promise<News> {
  return JSON.parse((await one(db, `select ${names.of("flow_news_1")}($1) as text`, [id]))!) as News
}

/**
 * @param progress the job was lost with a worker before: it has got further since.
 * @returns undefined when the claim is not valid any more: nothing was stored.
 */
export async function store(
  db: Connection,
  names: PluginNames,
  { id, token }: Claim,
  writes: readonly Write[],
  progress: boolean,
): Promise<Stored | undefined> {
  const taken = writes.filter((write) => write.takes)
  const text = await one(
    db,
    `select ${names.of("flow_store_1")}($1, $2, $3::text::json, $4::bigint[], $5::text[], $6) as text`,
    [
      id,
      token,
      `[${writes.map(rowOf).join(",")}]`,
      plainArray(taken.map((write) => write.takes!.id)),
      textArray(taken.map((write) => write.step.key)),
      progress,
    ],
  )
  return text === null ? undefined : (JSON.parse(text) as Stored)
}

/** The value is text within the text: so it is stored with its keys in their order, and JSON's null is not SQL's. */
function rowOf({ step: { begun, ...step }, text, delayMs }: Write): string {
  const until = delayMs === undefined ? step.until : undefined
  const took_ms = begun === undefined ? undefined : monotonic() - begun
  return JSON.stringify({ ...step, value: text, delay_ms: delayMs, until, took_ms })
}

/** A step that may have been stored by a transaction whose end nobody heard of: the lock waits for that end. */
export async function lookUp(
  db: Database,
  names: PluginNames,
  { id, token }: Claim,
  key: string,
): Promise<{ readonly text: string | null; readonly child: string | null } | undefined> {
  return db.transaction(async (tx) => {
    const { rows } = await tx.query(`select 1 from ${names.of("jobs")} where id = $1 and token = $2 for update`, [
      id,
      token,
    ])
    if (rows.length === 0) throw leaseLost(id)
    const found = await tx.query<{ text: string | null; child: string | null }>(
      `select value::text as text, child from ${names.of("flow_steps")} where run = $1 and key = $2 and ord is not null`,
      [id, key],
    )
    return found.rows[0]
  })
}

async function one(db: Connection, sql: string, values: readonly unknown[]): Promise<string | null> {
  const { rows } = await db.query<{ text: string | null }>(sql, values)
  return rows[0]!.text
}

export const leaseLost = (id: string) =>
  failure(
    "MILLRACE_LEASE_LOST",
    `This worker's claim of flow ${id} is not valid any more; it stores nothing, and another one goes on.`,
  )

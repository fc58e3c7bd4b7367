import type { Connection } from "../model/database.ts"
import type { NewJob } from "../model/job.ts"
import { encodeNotice, type Notice } from "./notify.ts"
import { plainArray, textArray, type Names } from "./sql.ts"

/*
 * The statements about jobs, one function each. JSON travels as text (`$1::json` of a string), since drivers disagree
 * about what a bound object means; arrays travel as literals made in sql.ts.
 */

/** Inserts jobs without unique keys, all or none. With `resend`, those that are there already, or have finished, stay as they are. */
export async function insertJobs(
  db: Connection,
  names: Names,
  jobs: readonly NewJob[],
  resend: boolean,
): Promise<void> {
  await db.query(`select ${names.of("push_1")}($1::uuid[], $2::integer[], $3::text::json, $4::text::json, $5)`, [
    ...rows(jobs),
    resend,
  ])
}

/** The same, and once committed the workers are woken by these notices, in the same round trip. Not inside a transaction. */
export async function insertAndNotify(
  db: Connection,
  names: Names,
  jobs: readonly NewJob[],
  resend: boolean,
  notices: readonly Notice[],
): Promise<void> {
  await db.query(
    `call ${names.of("push_and_notify_1")}($1::uuid[], $2::integer[], $3::text::json, $4::text::json, $5, $6, $7::text[])`,
    [...rows(jobs), resend, names.channel, textArray(notices.map(encodeNotice))],
  )
}

/** For one pushed job: the job that holds its key now. `existing` is null when that one finished in between: send again. */
export interface UniqueRow {
  id: string
  existing: string | null
  queue: string
  name: string
}

/** Inserts jobs with unique keys, each unless its key is taken, and tells who holds the keys. */
export async function insertUniqueJobs(
  db: Connection,
  names: Names,
  jobs: readonly NewJob[],
  resend: boolean,
): Promise<UniqueRow[]> {
  const push = jobs.some((job) => job.special) ? "push_unique_2" : "push_unique_1"
  const { rows: found } = await db.query<UniqueRow>(
    `select * from ${names.of(push)}($1::uuid[], $2::integer[], $3::text::json, $4::text::json, $5)`,
    [...rows(jobs), resend],
  )
  return found
}

function rows(jobs: readonly NewJob[]): string[] {
  const numbers = new Map<string, number>()
  const kindOf = jobs.map((job) => {
    let number = numbers.get(job.kind)
    if (number === undefined) numbers.set(job.kind, (number = numbers.size))
    return number
  })
  const kinds = Array.from(numbers, ([kind, number]) => `{"n":${number},${kind.slice(1)}`)
  return [
    plainArray(jobs.map((job) => job.id)),
    plainArray(kindOf),
    `[${jobs.map((job) => job.payload).join(",")}]`,
    `[${kinds.join(",")}]`,
  ]
}

/** The end of an attempt, as it travels. */
export interface Settlement {
  readonly id: string
  /** The claim that it ends. */
  readonly token: string
  readonly state: "succeeded" | "failed" | "cancelled" | "retrying" | "scheduled" | "pending" | "blocked"
  /** Attempts to charge. */
  readonly charge: 0 | 1
  /** JSON text. */
  readonly result?: string | undefined
  /** JSON text of one error record. */
  readonly error?: string | undefined
  /** JSON text; absent: unchanged. */
  readonly meta?: string | undefined
  /** JSON text of the newest progress; absent: unchanged. */
  readonly progress?: string | undefined
  readonly delayMs?: number | undefined
  readonly blockedBy?: string | undefined
}

/** Where a scan of the ready index may start, per rank. Parallel arrays, ranks ascending. */
export interface Floors {
  readonly ranks: readonly number[]
  readonly ready: readonly number[]
  readonly ids: readonly string[]
}

export const noFloors: Floors = { ranks: [], ready: [], ids: [] }

export interface CycleCall {
  /** Incarnation and id of the worker. */
  readonly worker: string
  readonly workerId: string
  readonly queue: string
  readonly settle: readonly Settlement[]
  /** Names the claims that this call makes. */
  readonly token: string
  /** Jobs to claim; 0 for none. */
  readonly limit: number
  /** Whether one of them may be a job that was lost with its worker before. */
  readonly suspect: boolean
  /** Job names to leave to others. */
  readonly except: readonly string[] | null
  readonly floors: Floors
}

export interface ClaimedRow {
  id: string
  name: string
  attempts: number
  crashes: number
  max_attempts: number
  claims: number
  timeout_ms: number | null
  rank: number
  /** `ready_at` in seconds, exact to the microsecond. */
  ready: number
  payload: string | null
  /** JSON of what few jobs have, and null when there is nothing; behind a "!" when it says not to start the job at all. */
  rest: string | null
}

export interface CycleSummary {
  /** Settlements that changed nothing: the claim was not valid any more, or an earlier call had settled it. */
  readonly stale: readonly (readonly [id: string, token: string])[] | null
  /** Settled jobs whose result somebody waits for. */
  readonly awaited: readonly string[] | null
  /** Settled jobs that ended in `cancelled` because somebody had asked. */
  readonly cancelled: readonly string[] | null
  /** False or null: this incarnation has lost its lease. Null also when nothing was to be claimed. */
  readonly alive: boolean | null
  readonly paused: boolean | null
  /** Null when the queue is gone. */
  readonly revision: number | null
  readonly scanMs: number
  /** The queue's circuit breaker paused it, in this call. */
  readonly tripped?: boolean
  /** What the claim of a queue with limits or keys has to say; absent for others. */
  readonly limited?: LimitedClaim
}

export interface LimitedClaim {
  /** There may be more that can start now. */
  readonly more: boolean
  /** When a rate allows more, ms; null: it is not a rate that holds jobs back. */
  readonly waitMs: number | null
}

/** Settles what has finished and claims what comes next: one round trip, one commit. Rows come in claim order. */
export async function cycle(
  db: Connection,
  names: Names,
  call: CycleCall,
): Promise<{ claimed: ClaimedRow[]; summary: CycleSummary }> {
  const ended: Settlement[] = []
  const kept: Settlement[] = []
  for (const one of call.settle) (isKept(one) ? kept : ended).push(one)
  const { rows: found } = await db.query<ClaimedRow>(
    `select * from ${names.of("cycle_1")}($1, $2, $3, $4::uuid[], $5::uuid[], $6::integer[], $7::uuid[], $8::uuid[], $9::text::json, $10, $11, $12, $13::text[], $14::integer[], $15::float8[], $16::uuid[])`,
    [
      call.worker,
      call.workerId,
      call.queue,
      plainArray(ended.map((one) => one.id)),
      ...runsOf(ended),
      plainArray(kept.map((one) => one.id)),
      plainArray(kept.map((one) => one.token)),
      details(call.settle),
      call.token,
      call.limit,
      call.suspect,
      call.except && textArray(call.except),
      plainArray(call.floors.ranks),
      plainArray(call.floors.ready),
      plainArray(call.floors.ids),
    ],
  )
  const summary = JSON.parse(found.pop()!.rest!) as CycleSummary
  if (found.at(-1)?.id !== null) return { claimed: inClaimOrder(found), summary }
  const limited = JSON.parse(found.pop()!.rest!) as LimitedClaim
  return { claimed: inClaimOrder(found), summary: { ...summary, limited } }
}

/** The tokens in order, each run of the same one once, and the lengths of the runs. */
function runsOf(settle: readonly Settlement[]): [string, string] {
  const tokens: string[] = []
  const counts: number[] = []
  for (const { token } of settle) {
    if (tokens.at(-1) === token) counts[counts.length - 1]! += 1
    else {
      tokens.push(token)
      counts.push(1)
    }
  }
  return [plainArray(tokens), plainArray(counts)]
}

/** Sorts by (rank, ready, id), the order of the ready index. Most replies are sorted already. */
function inClaimOrder(rows: ClaimedRow[]): ClaimedRow[] {
  for (let index = 1; index < rows.length; index++) {
    if (claimOrder(rows[index - 1]!, rows[index]!) > 0) return rows.sort(claimOrder)
  }
  return rows
}

const claimOrder = (a: ClaimedRow, b: ClaimedRow): number =>
  a.rank - b.rank || a.ready - b.ready || (a.id < b.id ? -1 : 1)

const isKept = ({ state }: Settlement): boolean =>
  state === "retrying" || state === "scheduled" || state === "pending" || state === "blocked"

/** JSON of what differs from "succeeded without a result", null when nothing does; values inside are JSON text already. */
function details(settle: readonly Settlement[]): string | null {
  const parts: string[] = []
  for (const one of settle) {
    if (isPlain(one)) continue
    let text = `{"id":"${one.id}","token":"${one.token}","state":"${one.state}","charge":${one.charge}`
    if (one.result !== undefined) text += one.result === "null" ? `,"nothing":true` : `,"result":${one.result}`
    if (one.error !== undefined) text += `,"error":${one.error}`
    if (one.meta !== undefined) text += `,"meta":${one.meta}`
    if (one.progress !== undefined) text += `,"progress":${one.progress}`
    if (one.delayMs !== undefined) text += `,"delay_ms":${one.delayMs}`
    if (one.blockedBy !== undefined) text += `,"blocked_by":${JSON.stringify(one.blockedBy)}`
    parts.push(`${text}}`)
  }
  return parts.length === 0 ? null : `[${parts.join(",")}]`
}

const isPlain = ({ state, charge, result, meta, error, progress }: Settlement): boolean =>
  state === "succeeded" &&
  charge === 1 &&
  result === undefined &&
  meta === undefined &&
  error === undefined &&
  progress === undefined

/** Makes due jobs of a queue ready, and tells in how many milliseconds the next one is due (null: none waits). */
export async function promote(db: Connection, names: Names, queue: string, limit: number) {
  const { rows: found } = await db.query<{ promoted: number; next_ms: number | null }>(
    `select promoted, next_ms from ${names.of("promote_1")}($1, $2)`,
    [queue, limit],
  )
  return { promoted: found[0]!.promoted, nextMs: found[0]!.next_ms }
}

/** What this worker incarnation holds according to the database. */
export async function claimsOf(db: Connection, names: Names, worker: string) {
  const { rows: found } = await db.query<{
    id: string
    token: string
    queue: string
    cancel: { reason: string | null } | null
  }>(`select id, token, queue, cancel from ${names.of("jobs")} where state = 'running' and worker = $1`, [worker])
  return found
}

/** Which of these running jobs were asked to be cancelled, and why. */
export async function cancelRequests(db: Connection, names: Names, ids: readonly string[]) {
  const { rows: found } = await db.query<{ id: string; reason: string | null }>(
    `select id, cancel->>'reason' as reason from ${names.of("jobs")}
     where id = any($1::uuid[]) and state = 'running' and cancel is not null`,
    [plainArray(ids)],
  )
  return found
}

/** Stores the newest progress of claimed jobs; returns the ids whose claim is still valid. */
export async function saveProgress(
  db: Connection,
  names: Names,
  queue: string,
  entries: readonly { readonly id: string; readonly token: string; readonly value: string }[],
): Promise<Set<string>> {
  const { rows: found } = await db.query<{ id: string }>(
    `update ${names.of("jobs")} j set progress = p.value
     from json_to_recordset($2::text::json) as p(id uuid, token uuid, value jsonb)
     where j.queue = $1 and j.id = p.id and j.token = p.token and j.id = any(array(
       select l.id from ${names.of("jobs")} l where l.queue = $1 and l.id = any($3::uuid[]) order by l.id for update))
     returning j.id`,
    [
      queue,
      `[${entries.map((one) => `{"id":"${one.id}","token":"${one.token}","value":${one.value}}`).join(",")}]`,
      plainArray(entries.map((one) => one.id)),
    ],
  )
  return new Set(found.map((row) => row.id))
}

/**
 * What became of a claim, after waiting for any transaction that is settling it, for a caller whose COMMIT was not
 * answered. `open`: nothing happened to it. `lost`: the job was taken back and is not this claim's any more.
 * `settled`: this claim has ended it. `gone`: it has ended and left no trace (retention "none"), by whoever.
 */
export async function claimStatus(db: Connection, names: Names, queue: string, id: string, token: string) {
  const { rows: found } = await db.query<{ mine: boolean | null }>(
    `select token = $3 as mine from ${names.of("jobs")} where queue = $1 and id = $2 for update`,
    [queue, id, token],
  )
  if (found.length > 0) return found[0]!.mine === true ? "open" : "lost"
  const { rows: ended } = await db.query<{ mine: boolean | null }>(
    `select token = $2 as mine from ${names.of("jobs_history")} where id = $1`,
    [id, token],
  )
  if (ended.length === 0) return "gone"
  return ended[0]!.mine === true ? "settled" : "lost"
}

/** Cancelled at once, asked of the worker that holds it, or finished before. Ids that nobody knows are not returned. */
export interface CancelRow {
  id: string
  queue: string
  outcome: "cancelled" | "requested" | "finished"
  awaited: boolean
}

export async function cancelJobs(
  db: Connection,
  names: Names,
  queue: string | null,
  ids: readonly string[],
  reason: string | null,
) {
  const { rows: found } = await db.query<CancelRow>(`select * from ${names.of("cancel_1")}($1, $2::uuid[], $3)`, [
    queue,
    plainArray(ids),
    reason,
  ])
  return found
}

export async function retryJob(db: Connection, names: Names, queue: string | null, id: string) {
  const { rows: found } = await db.query<{ outcome: "ready" | "running"; queue: string }>(
    `select * from ${names.of("retry_1")}($1, $2)`,
    [queue, id],
  )
  return found[0]
}

export interface JobPatch {
  readonly runAt?: { readonly at?: string; readonly inMs?: number } | undefined
  readonly rank?: number | undefined
  /** JSON text. */
  readonly payload?: string | undefined
}

/** The five parameters of a patch, $1 to $5. */
export const patchValues = ({ rank, runAt, payload }: JobPatch): unknown[] => [
  rank ?? null,
  runAt !== undefined,
  runAt?.at ?? null,
  runAt?.inMs ?? null,
  payload ?? null,
]

export const patchMoment = `moment as (
       select case when $2 then coalesce($3::timestamptz, now() + $4::float8 * interval '1 millisecond') end as run_at)`

export const patchAssignments = (names: Names): string => `run_at = coalesce(m.run_at, j.run_at),
       state = case
         when m.run_at > now() then (case when j.state in ('pending', 'blocked') then 'scheduled' else j.state::text end)::${names.of("job_state")}
         when m.run_at <= now() and j.state <> 'blocked' then 'pending'
         else j.state end,
       blocked_by = case when m.run_at > now() then null else j.blocked_by end,
       ready_at = case when m.run_at is not null or $1::integer is not null then now() else j.ready_at end,
       rank = coalesce($1::integer, j.rank),
       payload = coalesce($5::text::jsonb, j.payload)`

/** Changes a job that has not started. Undefined: no such job is waiting. */
export async function updateJob(db: Connection, names: Names, queue: string | null, id: string, patch: JobPatch) {
  const { rows: found } = await db.query<{ state: string; queue: string }>(
    `with ${patchMoment}
     update ${names.of("jobs")} j set ${patchAssignments(names)}
     from moment m
     where j.id = $6 and j.queue = coalesce($7, j.queue) and j.state <> 'running'
     returning j.state::text, j.queue`,
    [...patchValues(patch), id, queue],
  )
  return found[0]
}

/**
 * Says that somebody waits for these jobs, so that their settlement notifies. Returns the queues of those that are ready:
 * a claim may have passed by a row while it was locked here, so they want another wake-up.
 */
export async function markAwaited(db: Connection, names: Names, ids: readonly string[]): Promise<Set<string>> {
  const { rows: found } = await db.query<{ queue: string; state: string }>(
    `update ${names.of("jobs")} set awaited = true where id = any(array(
       select l.id from ${names.of("jobs")} l where l.id = any($1::uuid[]) and not l.awaited order by l.id for update))
     returning queue, state::text`,
    [plainArray(ids)],
  )
  return new Set(found.filter((row) => row.state === "pending").map((row) => row.queue))
}

export interface JobRow {
  id: string
  name: string
  queue: string
  state: string
  priority: number
  payload: unknown
  /** JSON text: null is no result, "null" is one. */
  result: string | null
  errors: unknown[] | null
  attempts: number
  crashes: number
  max_attempts: number
  claims: number
  worker: string | null
  created_at: Date
  run_at: Date
  started_at: Date | null
  finished_at: Date | null
  expires_at: Date | null
  progress: unknown
  meta: Record<string, unknown> | null
  tags: string[] | null
  unique_key: string | null
  blocked_by: string | null
  cancel: { reason: string | null; at: string } | null
  keep_s: number
  keep_failed_s: number
  options: { key?: string; unique?: { key: string } } | null
}

/** Jobs by id, finished or not, those that exist, in any order. */
export async function findJobs(db: Connection, names: Names, ids: readonly string[]): Promise<JobRow[]> {
  const { rows: found } = await db.query<JobRow>(
    `select id, name, queue, state::text, priority, payload, result::text, errors, attempts, crashes, max_attempts, claims, worker,
       created_at, run_at, started_at, finished_at, expires_at, progress, meta, tags, unique_key, blocked_by, cancel, keep_s, keep_failed_s, options
     from ${names.of("find_1")}($1::uuid[])`,
    [plainArray(ids)],
  )
  return found
}

/** Names among these that some live worker other than this one has a handler for. */
export async function namesHandledElsewhere(db: Connection, names: Names, worker: string, wanted: readonly string[]) {
  const { rows: found } = await db.query<{ name: string }>(
    `select distinct h as name from ${names.of("workers")} w, unnest(w.handlers) as h
     where w.incarnation <> $1 and w.expires_at > now() and h = any($2::text[])`,
    [worker, textArray(wanted)],
  )
  return new Set(found.map((row) => row.name))
}

/** Makes jobs ready again that were parked because no worker had a handler for their name. Returns their queues. */
export async function unblockHandled(db: Connection, names: Names, handled: readonly string[]): Promise<Set<string>> {
  const queues = new Set<string>()
  for (;;) {
    const { rows: found } = await db.query<{ queue: string; count: number }>(
      `with woken as (
         update ${names.of("jobs")} set state = 'pending', blocked_by = null, ready_at = now()
         where id = any(array(select id from ${names.of("jobs")}
           where state = 'blocked' and blocked_by = 'handler' and name = any($1::text[])
           order by id limit 1000 for update skip locked))
         returning queue)
       select queue, count(*) as count from woken group by queue`,
      [textArray(handled)],
    )
    for (const row of found) queues.add(row.queue)
    if (found.reduce((sum, row) => sum + row.count, 0) < 1_000) return queues
  }
}

/** Every retention, in seconds, of these jobs; without ids, of all running ones. */
export async function retentionsInUse(db: Connection, names: Names, ids?: readonly string[]): Promise<number[]> {
  const { rows: found } = await db.query<{ keep: number }>(
    `select distinct keep from ${names.of("jobs")} j, unnest(array[j.keep_s, j.keep_failed_s]) as keep
     where ${ids ? "j.id = any($1::uuid[])" : "j.state = 'running'"}`,
    ids ? [plainArray(ids)] : [],
  )
  return found.map((row) => row.keep)
}

import { preparePush } from "../../model/definition.ts"
import { encodeJson } from "../../lib/json.ts"
import type { Connection } from "../../model/database.ts"
import { failure } from "../../model/errors.ts"
import { checkName } from "../../model/name.ts"
import type { PluginNames } from "../../model/plugin.ts"
import type { AnyDefinition } from "../../model/pushable.ts"
import { sqlState } from "../../postgres/sqlstate.ts"
import { runAt } from "./due.ts"
import { isoOf, nextDue } from "./occurrences.ts"
import type { ParsedSchedule } from "./options.ts"
import { announcedKind, type Stored } from "./queries.ts"

/** What a schedule's ticks push, made when it is stored, so that whoever fires them needs no definition. */
export interface Pushes {
  readonly job: string
  readonly queue: string
  /** JSON text, as push_1 takes it. */
  readonly kind: string
  /** JSON text. */
  readonly payload: string
}

/** The schedule as a row, with its next tick after `now`; without one when its end is over. */
export function storedOf(schedule: ParsedSchedule, { job, queue }: Pushes, now: number): Stored {
  const next = nextDue(schedule, now)
  return {
    key: schedule.key,
    job,
    queue,
    cron: schedule.cron,
    every_ms: schedule.every,
    zone: schedule.zone,
    starts_at: isoOf(schedule.start),
    ends_at: isoOf(schedule.end),
    jitter_ms: schedule.jitter,
    overlap: schedule.overlap,
    missed: schedule.missed,
    missed_limit: schedule.missedLimit,
    grace_ms: schedule.grace,
    enabled: schedule.enabled,
    next_at: isoOf(next),
    run_at: isoOf(runAt(schedule, next)),
  }
}

/** @throws MILLRACE_BAD_SCHEDULE when its end is over. */
export function checkNotOver(schedule: ParsedSchedule, now: number): void {
  if (nextDue(schedule, now) !== undefined) return
  const text = `schedule "${schedule.key}" would never run: its end (${isoOf(schedule.end)}) is over, by the database's clock. Give it a later end, or none.`
  throw failure("MILLRACE_BAD_SCHEDULE", text)
}

/**
 * From a definition: the payload is checked by its schema now, not at the first tick.
 *
 * @throws what `push` throws.
 */
export async function pushesOf(
  definition: AnyDefinition,
  payload: unknown,
  { push }: ParsedSchedule,
  maxPayload: number,
): Promise<Pushes> {
  for (const not of ["tx", "id", "runAt", "delay", "expiresAt", "wake"]) {
    if (push && not in push)
      throw failure("MILLRACE_BAD_OPTION", `schedule.push.${not}: says something that only one push can; leave it out.`)
  }
  const job = await preparePush(definition, push, { maxPayload })(payload)
  return { job: job.name, queue: job.queue, kind: job.kind, payload: job.payload }
}

const sqlNames: Readonly<Record<string, string>> = {
  queue: "queue",
  priority: "priority",
  maxAttempts: "max_attempts",
  timeout: "timeout",
  backoff: "backoff",
  retention: "retention",
  uniqueKey: "unique_key",
  tags: "tags",
  meta: "meta",
}

/** From a job's name alone, with the defaults that workers have announced for it. @throws MILLRACE_BAD_OPTION, MILLRACE_BAD_JSON. */
export async function pushesByName(
  db: Connection,
  names: PluginNames,
  job: string,
  payload: unknown,
  { push }: ParsedSchedule,
  maxPayload: number,
): Promise<Pushes> {
  checkName("schedule.job", job)
  const json = encodeJson(payload ?? null)
  if ("problem" in json)
    throw failure(
      "MILLRACE_BAD_JSON",
      `schedule: the payload cannot be stored as JSON: ${json.path ?? "$"} ${json.problem}.`,
    )
  if (json.bytes > maxPayload)
    throw failure(
      "MILLRACE_PAYLOAD_TOO_LARGE",
      `schedule: the payload is ${json.bytes} bytes of JSON, over the limit of ${maxPayload}.`,
    )
  const options = Object.entries(push ?? {}).map(([name, value]) => [sqlNames[name] ?? name, value])
  const kind = await announcedKind(db, names, job, Object.fromEntries(options)).catch((error: unknown) => {
    if (!sqlState(error).startsWith("22")) throw error
    throw failure("MILLRACE_BAD_OPTION", (error as Error).message, error)
  })
  const { queue } = JSON.parse(kind) as { queue: string }
  return { job, queue, kind, payload: json.text }
}

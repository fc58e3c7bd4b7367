import { encodeJson } from "../lib/json.ts"
import { integer, list, parseOptions, text, value, type OptionsInput } from "../lib/options.ts"
import { failure } from "../model/errors.ts"
import { parseMoment } from "../model/job-options.ts"
import { sqlState } from "../postgres/sqlstate.ts"
import type { Context } from "./context.ts"

export const pushByNameOptions = {
  /** Default: the definition's. */
  queue: text({ doc: "Default: the definition's." }),
  /** Higher runs first. */
  priority: integer({ min: -1_000_000, max: 1_000_000, doc: "Higher runs first." }),
  /** When it is due: a Date, or `"in 10m"`. */
  runAt: value<Date | string>({ type: "Date | text", doc: 'When it is due: a Date, or `"in 10m"`.' }),
  /** Attempts in all, the first included. */
  maxAttempts: integer({ min: 1, max: 1_000_000, doc: "Attempts in all, the first included." }),
  /** One unfinished job per key. */
  uniqueKey: text({ doc: "One unfinished job per key." }),
  /** Tags, to find it by. */
  tags: list(text({ doc: "A tag." }), { doc: "Tags, to find it by." }),
}

export type PushByNameOptions = OptionsInput<typeof pushByNameOptions>

/** Pushes as `millrace.push` in SQL does; see `Millrace.pushByName`. */
export async function pushByName(
  { db, names, notices, maxPayload }: Context,
  name: string,
  payload: unknown,
  given?: PushByNameOptions,
): Promise<{ id: string; duplicate: boolean }> {
  const options = parseOptions("pushByName", pushByNameOptions, given)
  const json = encodeJson(payload ?? null)
  if ("problem" in json)
    throw failure("MILLRACE_BAD_JSON", `pushByName: the payload cannot be stored as JSON: ${json.problem}.`)
  if (json.bytes > maxPayload) {
    const text = `pushByName: the payload is ${json.bytes} bytes of JSON, over the limit of ${maxPayload}.`
    throw failure("MILLRACE_PAYLOAD_TOO_LARGE", text)
  }
  // A row that the statement could see before it began was there before: the job that holds the key.
  const { rows } = await db
    .query<{ id: string; duplicate: boolean }>(
      `select p.id, exists (select 1 from ${names.of("jobs")} j where j.id = p.id) as duplicate
       from ${names.of("push")}($1, $2::text::jsonb, $3::text::jsonb) as p(id)`,
      [name, json.text, JSON.stringify({ ...sqlOptions(options), wake: notices.enabled })],
    )
    .catch((error: unknown) => {
      throw refusalOf(error)
    })
  return rows[0]!
}

function sqlOptions({ queue, priority, runAt, maxAttempts, uniqueKey, tags }: ReturnType<typeof parsed>) {
  const moment = runAt === undefined ? undefined : parseMoment(runAt, "pushByName.runAt")
  return {
    ...(queue === undefined ? {} : { queue }),
    ...(priority === undefined ? {} : { priority }),
    ...(maxAttempts === undefined ? {} : { max_attempts: maxAttempts }),
    ...(uniqueKey === undefined ? {} : { unique_key: uniqueKey }),
    ...(tags === undefined ? {} : { tags }),
    ...(moment?.at === undefined ? {} : { run_at: moment.at }),
    ...(moment?.inMs === undefined ? {} : { delay: moment.inMs }),
  }
}

const parsed = () => parseOptions("pushByName", pushByNameOptions, {})

/** The function's own refusals come as errors of invalid parameters, with a hint. */
function refusalOf(error: unknown): unknown {
  if (!sqlState(error).startsWith("22")) return error
  const { message, hint } = error as { message: string; hint?: string }
  return failure("MILLRACE_BAD_OPTION", hint ? `${message}. ${hint}` : message, error)
}

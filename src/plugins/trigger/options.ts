import { boolean, list, oneOf, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import type { CallerTransaction } from "../../model/database.ts"
import { failure } from "../../model/errors.ts"
import type { PushOptions } from "../../model/job-options.ts"
import type { MappedValue, PayloadMapping, TriggerEvent, TriggerSpec } from "./source.ts"

type PushedWith = Omit<PushOptions, "tx" | "id" | "runAt" | "uniqueKey" | "debounce" | "throttle" | "wake">

const isObject = (given: unknown): boolean => typeof given === "object" && given !== null && !Array.isArray(given)

export const triggerOptions = {
  /** Names it: at most 30 lower-case letters, digits and `_`. Default: made of the table and the job. */
  name: text({
    pattern: /^[a-z_][a-z0-9_]{0,29}$/,
    expects: 'at most 30 lower-case letters, digits and "_"',
    doc: "Names it: at most 30 lower-case letters, digits and `_`. Default: made of the table and the job.",
  }),
  /** SQL over `new` and `old`: only rows for which it is true. Your code's text, never a user's. */
  when: text({
    doc: "SQL over `new` and `old`: only rows for which it is true. Your code's text, never a user's.",
  }),
  /** An update counts only if one of these columns changed. */
  columns: list(text({ doc: "A column." }), { min: 1, doc: "An update counts only if one of these columns changed." }),
  /** One job per row: `"row"`, a list of columns, or `{ key: "column" | { sql } | { value } }`. Left out: one job per statement. */
  payload: value<PayloadMapping>({
    type: '"row" | columns | mapping',
    doc: 'One job per row: `"row"`, a list of columns, or `{ key: "column" | { sql } | { value } }`. Left out: one job per statement.',
    check: wrongMapping,
  }),
  /** SQL over `new` and `old` that gives the jobs' unique key. `null`: none, although the definition has one. */
  uniqueKey: value<string | null>({
    type: "text | null",
    doc: "SQL over `new` and `old` that gives the jobs' unique key. `null`: none, although the definition has one.",
    check: (given) =>
      given === null || (typeof given === "string" && given !== "") ? undefined : "must be SQL, or null",
  }),
  /** A row of the table, to try the payload's mapping and the job's schema with now. */
  sample: value<Readonly<Record<string, unknown>>>({
    type: "object",
    doc: "A row of the table, to try the payload's mapping and the job's schema with now.",
    check: (given) =>
      isObject(given) ? undefined : 'must be an object with the columns of a row, as in { id: 1, email: "a@b.c" }',
  }),
  /** Options of the jobs, as for `app.push`. */
  push: value<PushedWith>({ type: "push options", doc: "Options of the jobs, as for `app.push`." }),
  /** Wake the workers at once. `false` spares the table's commits a notification; jobs are found at the next poll. */
  wake: boolean({
    default: true,
    doc: "Wake the workers at once. `false` spares the table's commits a notification; jobs are found at the next poll.",
  }),
  /** Your own open transaction: it is there when you commit. */
  tx: value<CallerTransaction>({ type: "client", doc: "Your own open transaction: it is there when you commit." }),
}

type Options = OptionsInput<typeof triggerOptions>

/** The mapping's keys are those of the definition's payload. */
export interface TriggerOptions<Input = unknown> extends Omit<Options, "payload"> {
  readonly payload?: "row" | readonly string[] | MappingOf<Input> | undefined
}

type MappingOf<Input> = unknown extends Input
  ? Readonly<Record<string, MappedValue>>
  : { readonly [Key in keyof Input]: MappedValue }

function wrongMapping(given: unknown): string | undefined {
  if (given === "row") return undefined
  if (Array.isArray(given))
    return given.length > 0 && given.every((name) => typeof name === "string") ? undefined : "must name columns as text"
  const fine = (one: unknown): boolean =>
    typeof one === "string" ||
    (isObject(one) && ("value" in (one as object) || typeof (one as { sql?: unknown }).sql === "string"))
  return isObject(given) && Object.values(given as object).every(fine)
    ? undefined
    : 'must be "row", a list of columns, or a mapping such as { userId: "id", mail: { sql: "lower(new.email)" }, source: { value: "sql" } }.'
}

const events = list(oneOf(["insert", "update", "delete"], { doc: "An event." }), { min: 1, doc: "Events." })

const hints = {
  operations: 'Events are the second argument: triggers.on(table, ["insert"], job).',
  trigger_name: "name",
  condition: "when",
  where: "when",
  data: "payload",
  queue: 'Options of the jobs go into push: { queue: "mail" }.',
  priority: "Options of the jobs go into push: { priority: 5 }.",
  delay: 'Options of the jobs go into push: { delay: "10m" }.',
}

export const badTrigger = (what: string, cause?: unknown) => failure("MILLRACE_BAD_TRIGGER", what, cause)

const example = 'triggers.on("users", ["insert", "update"], welcome, { columns: ["email"], payload: { userId: "id" } })'

/** @throws MILLRACE_BAD_TRIGGER, MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION. */
export function parseTrigger(table: string, given: readonly TriggerEvent[], options: unknown) {
  if (typeof table !== "string" || table.trim() === "")
    throw badTrigger(`triggers.on: the first argument names a table, as in ${example}.`)
  const parsed = parseOptions("triggers.on", triggerOptions, options, hints)
  const seen = [...new Set(events.parse(given, "triggers.on: events"))]
  if (parsed.columns && !seen.includes("update"))
    throw badTrigger(`triggers.on: columns say which changes count, so they need the event "update", as in ${example}.`)
  if (typeof parsed.uniqueKey === "string" && parsed.payload === undefined)
    throw badTrigger(
      `triggers.on: a unique key is made of a row, so it needs a payload per row, as in { payload: "row", uniqueKey: "'user ' || new.id" }.`,
    )
  for (const sql of sqlOf(parsed)) {
    if (sql.includes("$millrace$"))
      throw badTrigger('triggers.on: SQL must not contain "$millrace$", which ends the function.')
  }
  const spec: TriggerSpec = {
    events: seen,
    when: parsed.when,
    columns: parsed.columns,
    payload: parsed.payload,
    uniqueKey: parsed.uniqueKey ?? undefined,
  }
  return { ...parsed, spec, unkeyed: parsed.uniqueKey === null }
}

const sqlOf = ({
  when,
  uniqueKey,
  payload,
}: {
  when?: string | undefined
  uniqueKey?: string | null | undefined
  payload?: unknown
}): string[] => [when ?? "", uniqueKey ?? "", JSON.stringify(payload) ?? ""]

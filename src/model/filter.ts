import { list, oneOf, parseOptions, text, value, type OptionsInput } from "../lib/options.ts"
import { quote } from "../lib/quote.ts"
import { failure } from "./errors.ts"
import { pathOf } from "./rule-field.ts"
import { all, compare, isRule, type JsonValue, type Moment, type Rule } from "./rule.ts"
import { finalStates, unfinishedStates, type JobState } from "./state.ts"

/*
 * A filter is the everyday way to say which jobs: fields of an object, all of which must hold. It becomes a rule, so
 * there is one engine.
 */

/** A time range; each end is a Date, ISO text, or relative to now: `"1h ago"`, `"in 5m"`. */
export interface TimeRange {
  /** Not before. */
  readonly after?: Moment
  /** Before. */
  readonly before?: Moment
}

/** Values inside the payload or meta by their path: `{ "customer.id": 5 }`; a list means any of them. */
export type PathValues = Readonly<Record<string, JsonValue | readonly JsonValue[]>>

const states = [...unfinishedStates, ...finalStates] as const
const oneState = oneOf(states, { doc: "A job state." })
const oneText = text({ doc: "Text." })

const oneOrMany = (doc: string) =>
  value<string | readonly string[]>({ type: "text | list of text", doc, check: (given) => textOrTexts(given) })

function textOrTexts(given: unknown): string | undefined {
  const fine = Array.isArray(given) ? given.every((one) => typeof one === "string") : typeof given === "string"
  return fine ? undefined : "must be text or a list of texts"
}

const range = (doc: string) => value<TimeRange>({ type: "{ after, before }", doc })

export const filterOptions = {
  /** A state, or several. */
  state: value<JobState | readonly JobState[]>({ type: "state | list of states", doc: "A state, or several." }),
  /** A queue, or several. */
  queue: oneOrMany("A queue, or several."),
  /** A job name, or several. */
  name: oneOrMany("A job name, or several."),
  /** An id, or several. */
  id: oneOrMany("An id, or several."),
  /** Has all of these tags. */
  tags: list(oneText, { doc: "Has all of these tags." }),
  /** Has at least one of these tags. */
  anyTag: list(oneText, { doc: "Has at least one of these tags." }),
  /** The unique key, as given at the push. */
  uniqueKey: oneOrMany("The unique key, as given at the push."),
  /** Id of the worker that holds it, or finished it. */
  worker: oneOrMany("Id of the worker that holds it, or finished it."),
  /** When it was pushed. */
  createdAt: range("When it was pushed."),
  /** When it is, or was, due. */
  runAt: range("When it is, or was, due."),
  /** When its latest attempt started. */
  startedAt: range("When its latest attempt started."),
  /** When it finished. */
  finishedAt: range("When it finished."),
  /** Values inside the payload, by path. Needs a declared index, or the states failed or cancelled. */
  payload: value<PathValues>({
    type: "{ path: value }",
    doc: "Values inside the payload, by path. Needs a declared index, or the states failed or cancelled.",
  }),
  /** Values inside the meta, by path; as for `payload`. */
  meta: value<PathValues>({ type: "{ path: value }", doc: "Values inside the meta, by path; as for `payload`." }),
  /** A kept error's message holds this text. */
  error: text({ doc: "A kept error's message holds this text." }),
  /** A rule that must hold as well. */
  where: value<Rule>({
    type: "rule",
    doc: "A rule that must hold as well.",
    check: (given) => (isRule(given) ? undefined : "must be a rule, such as priority.gt(5)"),
  }),
}

/** Which jobs: everything given must hold. An empty filter means all jobs. */
export type JobFilter = OptionsInput<typeof filterOptions>

const hints = {
  states: "state",
  queues: "queue",
  names: "name",
  job: "name",
  ids: "id",
  tag: "tags",
  key: "uniqueKey",
  unique_key: "uniqueKey",
  created: "createdAt",
  finished: "finishedAt",
  args: "payload",
  errorText: "error",
  rule: "where",
}

/**
 * The rule that a filter means.
 *
 * @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_RULE.
 */
export function ruleOfFilter(given: JobFilter | Rule = {}): Rule {
  if (isRule(given)) return given
  const filter = parseOptions("filter", filterOptions, given, hints)
  const parts: Rule[] = []
  const equal = (field: "queue" | "name" | "id" | "uniqueKey" | "worker" | "state", wanted: unknown) => {
    if (wanted === undefined) return
    parts.push(Array.isArray(wanted) ? compare(field, "in", wanted) : compare(field, "eq", wanted))
  }
  if (filter.state !== undefined) equal("state", checkedStates(filter.state))
  for (const field of ["queue", "name", "id", "uniqueKey", "worker"] as const) equal(field, filter[field])
  for (const tag of filter.tags ?? []) parts.push(compare("tags", "contains", tag))
  if (filter.anyTag) parts.push(compare("tags", "in", filter.anyTag))
  for (const field of ["createdAt", "runAt", "startedAt", "finishedAt"] as const) {
    if (filter[field]) parts.push(...inRange(field, filter[field]))
  }
  for (const field of ["payload", "meta"] as const) if (filter[field]) parts.push(...atPaths(field, filter[field]))
  if (filter.error !== undefined) parts.push(compare("error", "contains", filter.error))
  if (filter.where) parts.push(filter.where)
  return parts.length === 1 ? parts[0]! : all(...parts)
}

function checkedStates(given: JobState | readonly JobState[]): unknown {
  if (!Array.isArray(given)) return oneState.parse(given as never, "filter.state")
  return given.map((one, index) => oneState.parse(one as never, `filter.state[${index}]`))
}

function inRange(field: "createdAt" | "runAt" | "startedAt" | "finishedAt", given: TimeRange): Rule[] {
  const { after, before, ...rest } = typeof given === "object" && given !== null ? given : { nothing: true }
  if (Object.keys(rest).length > 0 || given instanceof Date) {
    throw failure(
      "MILLRACE_BAD_OPTION",
      `filter.${field} is { after, before }, each a Date or ISO text, not ${quote(given)}.`,
    )
  }
  return [
    ...(after === undefined ? [] : [compare(field, "gte", after)]),
    ...(before === undefined ? [] : [compare(field, "lt", before)]),
  ]
}

function atPaths(field: "payload" | "meta", given: PathValues): Rule[] {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw failure("MILLRACE_BAD_OPTION", `filter.${field} is { "path.to.value": value }, not ${quote(given)}.`)
  }
  return Object.entries(given).map(([path, wanted]) => {
    const keys = pathOf(field, path)
    return Array.isArray(wanted) ? compare(field, "in", wanted, keys) : compare(field, "eq", wanted, keys)
  })
}

import { queryFields, queryStates } from "../../../src/model/query.ts"

/** The word under the caret. */
export interface CaretWord {
  start: number
  end: number
  /** "-" of a negated word. */
  sign: string
  /** Present behind its colon. */
  field: string | undefined
  typed: string
}

export function wordAt(text: string, caret: number): CaretWord {
  const before = text.slice(0, caret)
  const start = before.search(/(?:[^\s"]|"[^"]*"?)*$/)
  const after = /^[^\s]*/.exec(text.slice(caret))![0].length
  const word = before.slice(start)
  const sign = word.startsWith("-") ? "-" : ""
  const bare = word.slice(sign.length)
  const colon = bare.indexOf(":")
  return {
    start,
    end: caret + after,
    sign,
    field: colon < 0 ? undefined : bare.slice(0, colon),
    typed: (colon < 0 ? bare : bare.slice(colon + 1)).split(",").at(-1)!.replaceAll('"', ""),
  }
}

const hints: Record<string, string> = {
  state: "pending, failed, …",
  name: "name of the job; a star is any text",
  queue: "one or several: a,b",
  worker: "that holds or finished it",
  key: "unique key",
  tag: "exactly",
  id: "one or several",
  attempt: "attempt>=3",
  crashes: "workers lost with it",
  priority: "priority>0",
  created: "created:-24h..-1h",
  due: "due:+1h",
  started: "started:-10m",
  finished: "finished:-1h",
  duration: "duration>5s",
  error: "text of its errors",
  "payload.": "payload.user.id:42",
  "meta.": "meta.tenant:acme",
}

export interface Completion {
  text: string
  hint?: string
}

export function completionsFor(word: CaretWord, values: readonly string[]): Completion[] {
  const typed = word.typed.toLowerCase()
  if (word.field === undefined) {
    return Object.keys(hints)
      .filter((field) => field.startsWith(typed) && (field.endsWith(".") || field in queryFields))
      .slice(0, 12)
      .map((text) => ({ text, hint: hints[text]! }))
  }
  const known = word.field === "state" ? queryStates : (timesFor(word.field) ?? values)
  return known
    .filter((value) => value.toLowerCase().startsWith(typed) && value !== word.typed)
    .slice(0, 10)
    .map((text) => ({ text }))
}

function timesFor(field: string): readonly string[] | undefined {
  if (["created", "started", "finished"].includes(field)) return ["-15m", "-1h", "-24h", "-7d", "-24h..-1h"]
  if (field === "due") return ["-1h", "+1h", "+24h"]
  return field === "duration" ? ["1s", "10s", "1m"] : undefined
}

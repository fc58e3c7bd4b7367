import type { JobFilter, JobState } from "../index.ts"
import { UsageError, type Call, type CommandOptions } from "./command.ts"

/** The options that say which jobs, shared by every command that takes a filter. */
export const filterOptions: CommandOptions = {
  state: { type: "string", multiple: true, value: "STATE", doc: "In this state; several: in any of them." },
  queue: { type: "string", multiple: true, value: "NAME", doc: "In this queue." },
  name: { type: "string", multiple: true, value: "NAME", doc: "With this job name." },
  tag: { type: "string", multiple: true, value: "TAG", doc: "With this tag; several: with all of them." },
  key: { type: "string", value: "KEY", doc: "With this unique key." },
  worker: { type: "string", value: "ID", doc: "Held or finished by this worker." },
  "created-after": { type: "string", value: "TIME", doc: 'Pushed since: ISO text, or "1h ago".' },
  "created-before": { type: "string", value: "TIME", doc: "Pushed before." },
  "finished-after": { type: "string", value: "TIME", doc: "Finished since." },
  "finished-before": { type: "string", value: "TIME", doc: "Finished before." },
  payload: { type: "string", multiple: true, value: "PATH=VALUE", doc: "With this value at a path of the payload." },
  error: { type: "string", value: "TEXT", doc: "With an error whose message holds this." },
}

/** The filter that the options and the ids given as arguments mean. */
export function filterOf(call: Call, ids: readonly string[]): JobFilter {
  const many = (name: string) => (call.texts(name).length > 0 ? [...call.texts(name)] : undefined)
  const range = (name: string) => {
    const [after, before] = [call.text(`${name}-after`), call.text(`${name}-before`)]
    return after === undefined && before === undefined
      ? undefined
      : { ...(after && { after }), ...(before && { before }) }
  }
  const filter = {
    id: ids.length > 0 ? [...ids] : undefined,
    state: many("state") as JobState[] | undefined,
    queue: many("queue"),
    name: many("name"),
    tags: many("tag"),
    uniqueKey: call.text("key"),
    worker: call.text("worker"),
    createdAt: range("created"),
    finishedAt: range("finished"),
    payload: pathsOf(call.texts("payload")),
    error: call.text("error"),
  }
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))
}

export const isEmpty = (filter: JobFilter): boolean => Object.keys(filter).length === 0

function pathsOf(given: readonly string[]): JobFilter["payload"] {
  if (given.length === 0) return undefined
  return Object.fromEntries(
    given.map((entry) => {
      const at = entry.indexOf("=")
      if (at < 1) throw new UsageError(`--payload is PATH=VALUE, such as customer.id=5, not ${JSON.stringify(entry)}`)
      return [entry.slice(0, at), valueOf(entry.slice(at + 1))]
    }),
  )
}

/** JSON where it is a number, a boolean, null or quoted text; plain text otherwise. */
function valueOf(text: string): string | number | boolean | null {
  try {
    const value = JSON.parse(text) as unknown
    return value === null || ["string", "number", "boolean"].includes(typeof value) ? (value as string) : text
  } catch {
    return text
  }
}

import type { JobRecord } from "../../model/job.ts"
import type { RuleData } from "../../model/rule.ts"
import type { Redact } from "./options.ts"
import { refuse } from "./problem.ts"
import type { Visitor } from "./visitor.ts"

/*
 * What must not leave the server. Values are taken out before anything is made of a job: details, lists, streams, audit.
 * What was taken out is also taken out of error texts, and cannot be searched by, since a search tells what it finds.
 */

const usual = [
  "password",
  "passwd",
  "passphrase",
  "secret",
  "token",
  "accessToken",
  "refreshToken",
  "apiKey",
  "authorization",
  "cookie",
  "credentials",
  "privateKey",
  "clientSecret",
  "creditCard",
  "cardNumber",
  "cvv",
  "ssn",
]

export const hidden = "[redacted]"

export interface Redactor {
  /** A job as this visitor may see it. */
  job(job: JobRecord, visitor: Visitor): JobRecord
  /** Any other value, such as the fields of a log line or a request's body. */
  value<T>(value: T): T
  /** @throws Refused for a rule that asks about what is hidden. */
  checkRule(data: RuleData): void
}

export function redactor(given: Redact | undefined): Redactor {
  const names = typeof given === "function" ? usual : (given ?? usual)
  const keys = new Set(names.filter((name) => !isPath(name)).map(fold))
  const paths = names.filter(isPath).map((name) => name.split("."))
  const own = typeof given === "function" ? given : undefined
  const value = <T>(one: T): T => cleaned(one, keys, [], []) as T
  return {
    value,
    job(job, visitor) {
      const taken: string[] = []
      const clean = {
        ...job,
        payload: cleaned(job.payload, keys, below(paths, "payload"), taken),
        meta: cleaned(job.meta, keys, below(paths, "meta"), taken) as JobRecord["meta"],
        result: cleaned(job.result, keys, below(paths, "result"), taken),
        progress: cleaned(job.progress, keys, below(paths, "progress"), taken),
      }
      const secrets = [...new Set(taken)].filter((text) => text.length >= 6)
      const errors = job.errors.map((error) => ({
        ...error,
        message: without(error.message, secrets),
        ...(error.stack === undefined ? {} : { stack: without(error.stack, secrets) }),
      }))
      const whole = { ...clean, errors }
      return own ? own(whole, visitor) : whole
    },
    checkRule(data) {
      const path = searched(data).find(
        (one) => one.slice(1).some((key) => keys.has(fold(key))) || paths.some((hide) => covers(hide, one)),
      )
      if (path) throw refuse(403, "MILLRACE_REDACTED", `${path.join(".")} is hidden, so it cannot be searched by.`)
    },
  }
}

const roots = new Set(["payload", "meta", "result", "progress"])
const isPath = (name: string): boolean => name.includes(".") && roots.has(name.split(".")[0]!)
const fold = (key: string): string => key.toLowerCase().replaceAll(/[-_\s]/g, "")

const below = (paths: readonly (readonly string[])[], root: string): string[][] =>
  paths.filter((path) => path[0] === root).map((path) => path.slice(1))

/** A copy without what is hidden; the texts that were taken out are added to `taken`. */
function cleaned(value: unknown, keys: ReadonlySet<string>, paths: readonly string[][], taken: string[]): unknown {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map((entry) => cleaned(entry, keys, paths, taken))
  if (value instanceof Date) return value
  // Without a prototype, a key called __proto__ is a key like any other.
  const copy = Object.create(null) as Record<string, unknown>
  for (const [key, entry] of Object.entries(value)) {
    const inside = paths.filter((path) => path[0] === key || path[0] === "*").map((path) => path.slice(1))
    if (entry !== null && entry !== undefined && (keys.has(fold(key)) || inside.some((path) => path.length === 0))) {
      textsOf(entry, taken)
      copy[key] = hidden
    } else copy[key] = cleaned(entry, keys, inside, taken)
  }
  return copy
}

function textsOf(value: unknown, texts: string[]): void {
  if (typeof value === "string") texts.push(value)
  else if (typeof value === "number") texts.push(String(value))
  else if (typeof value === "object" && value !== null) for (const one of Object.values(value)) textsOf(one, texts)
}

const without = (text: string, secrets: readonly string[]): string =>
  secrets.reduce((left, secret) => left.replaceAll(secret, hidden), text)

/** The places in payload and meta that a rule looks at. */
function searched(data: RuleData): string[][] {
  if ("all" in data) return data.all.flatMap(searched)
  if ("any" in data) return data.any.flatMap(searched)
  if ("not" in data) return searched(data.not)
  return data.field === "payload" || data.field === "meta" ? [[data.field, ...(data.path ?? [])]] : []
}

/** Whether looking at a path would tell what is hidden there, or below, or above. */
const covers = (hide: readonly string[], path: readonly string[]): boolean =>
  path.every((key, at) => hide[at] === undefined || hide[at] === key || hide[at] === "*")

/** What somebody has edited without seeing all of it: what was hidden, and still says so, is what it was. */
export function restored(edited: unknown, original: unknown): unknown {
  if (edited === hidden) return original ?? hidden
  if (typeof edited !== "object" || edited === null || typeof original !== "object" || original === null) return edited
  if (Array.isArray(edited)) {
    return edited.map((entry, at) => restored(entry, (original as readonly unknown[])[at]))
  }
  const from = original as Readonly<Record<string, unknown>>
  const entries = Object.entries(edited).map(([key, entry]) => [
    key,
    restored(entry, Object.hasOwn(from, key) ? from[key] : undefined),
  ])
  return Object.fromEntries(entries) as unknown
}

import { milliseconds } from "../../lib/duration.ts"
import { isUuid } from "../../lib/uuid.ts"
import { badRequest, notFound } from "./problem.ts"

/** Reading what a request says. Everything that cannot be understood is refused, with what was expected. */

export function intParam(query: URLSearchParams, name: string, fallback: number, min: number, max: number): number {
  const text = query.get(name)
  if (text === null || text === "") return fallback
  const value = Number(text)
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw badRequest(`${name}: a whole number from ${min} to ${max}, not ${JSON.stringify(text.slice(0, 50))}.`)
}

export const textParam = (query: URLSearchParams, name: string): string | undefined => query.get(name) || undefined

/** ISO text in the query string. @throws Refused. */
export function momentParam(query: URLSearchParams, name: string): Date | undefined {
  const text = textParam(query, name)
  if (text === undefined) return undefined
  const at = new Date(text)
  if (Number.isNaN(at.getTime())) throw badRequest(`${name}: ISO text, not ${JSON.stringify(text.slice(0, 50))}.`)
  return at
}

type Fields = Readonly<Record<string, unknown>>

/** @throws Refused for a field that no route knows: a mistyped one must not be passed over. */
export function onlyFields(fields: Fields, known: readonly string[]): void {
  const wrong = Object.keys(fields).find((key) => !known.includes(key))
  if (wrong !== undefined) {
    throw badRequest(`There is no field ${JSON.stringify(wrong.slice(0, 50))}. Known: ${known.join(", ") || "none"}.`)
  }
}

export function textField(fields: Fields, name: string): string | undefined
export function textField(fields: Fields, name: string, needed: true): string
export function textField(fields: Fields, name: string, needed = false): string | undefined {
  const value = fields[name]
  if ((value === undefined || value === null) && !needed) return undefined
  if (typeof value === "string" && value !== "" && !value.includes("\0")) return value
  throw badRequest(`${name}: text that is not empty.`)
}

export function intField(fields: Fields, name: string, min: number, max: number): number | undefined {
  const value = fields[name]
  if (value === undefined || value === null) return undefined
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return value as number
  throw badRequest(`${name}: a whole number from ${min} to ${max}.`)
}

export function booleanField(fields: Fields, name: string): boolean | undefined {
  const value = fields[name]
  if (value === undefined || typeof value === "boolean") return value
  throw badRequest(`${name}: true or false.`)
}

export function textsField(fields: Fields, name: string, most: number): readonly string[] | undefined {
  const value = fields[name]
  if (value === undefined || value === null) return undefined
  const fine =
    Array.isArray(value) && value.length <= most && value.every((one) => typeof one === "string" && one !== "")
  if (fine) return value as string[]
  throw badRequest(`${name}: a list of at most ${most} texts.`)
}

/** ISO text, or `"in 10m"`, as the library takes it. */
export function momentField(fields: Fields, name: string): Date | string | undefined {
  const text = textField(fields, name)
  if (text === undefined) return undefined
  if (text.startsWith("in ")) return text
  const at = new Date(text)
  if (!Number.isNaN(at.getTime())) return at
  throw badRequest(`${name}: ISO text, or a time from now such as "in 10m".`)
}

export function durationField(fields: Fields, name: string): number | undefined {
  const value = fields[name]
  if (value === undefined || value === null) return undefined
  if (typeof value === "string" || typeof value === "number") return milliseconds(value, name)
  throw badRequest(`${name}: a duration such as "90d".`)
}

/** @throws Refused: what is no id names nothing. */
export function idParam(params: Readonly<Record<string, string>>, what: string): string {
  const { id } = params
  if (id !== undefined && isUuid(id)) return id.toLowerCase()
  throw notFound(what)
}

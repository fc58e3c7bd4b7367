import { encodeJson } from "../../lib/json.ts"
import { failure } from "../../model/errors.ts"
import { textArray } from "../../postgres/sql.ts"
import type { Hole, Node, Source, Template } from "./node.ts"

/*
 * What a mapping is made of. While a workflow is defined, nobody has run anything yet: `charge.result.id` is a stand-in that
 * remembers where the value will come from. So a mapping is data, kept with the workflow, and the database fills it in.
 */

declare const held: unique symbol

/** Stands for a value of type T that will be there when a step starts. */
export interface Holds<out T> {
  readonly [held]: () => T
}

type Plain = string | number | boolean | bigint | symbol | null | undefined
type Absent<T> = undefined extends T ? undefined : null extends T ? undefined : never

/** A stand-in for a value, whose properties are stand-ins again: `order.customer.email`. */
export type Ref<T> = Holds<T> & Parts<T, NonNullable<T>>

type Parts<T, N> = [N] extends [Plain]
  ? unknown
  : N extends readonly unknown[]
    ? { readonly length?: never }
    : { readonly [K in keyof N]-?: Ref<N[K] | Absent<T>> }

/** What may stand where a T is wanted: the T itself, a stand-in, or an object or list with stand-ins anywhere inside. */
export type Wired<T> = Holds<T> | Inside<T>

type Inside<T> = T extends Plain
  ? T
  : T extends readonly (infer E)[]
    ? readonly Wired<E>[]
    : T extends object
      ? { readonly [K in keyof T]: Wired<T[K]> }
      : T

/** The value that something wired will be. */
export type Unwired<W> =
  W extends Holds<infer T>
    ? T
    : W extends Plain
      ? W
      : W extends readonly (infer E)[]
        ? Unwired<E>[]
        : W extends object
          ? { [K in keyof W]: Unwired<W[K]> }
          : W

const source = Symbol("millrace.workflow.source")

/** Where this comes from; undefined for a plain value. */
export const sourceOf = (value: unknown): Source | undefined =>
  typeof value === "object" && value !== null ? (value as { [source]?: Source })[source] : undefined

export const markSource = <T extends object>(target: T, from: Source): T =>
  Object.defineProperty(target, source, { value: from })

/** A stand-in. */
export function ref(from: Source): never {
  return new Proxy(Object.freeze({}), {
    get(_, property) {
      if (property === source) return from
      if (typeof property === "symbol") throw notAValue(from)
      return ref({ ...from, path: [...from.path, property] })
    },
  }) as never
}

const nameOf = ({ from, node, path }: Source): string => [node ? `${node.key}.result` : from, ...path].join(".")

const notAValue = (from: Source) =>
  failure(
    "MILLRACE_BAD_WORKFLOW",
    `"${nameOf(from)}" stands for a value that is not there yet: it can be passed on, compared with condition.…, or put into text with w.text\`…\`; anything else belongs into a step.`,
  )

/** @throws MILLRACE_BAD_JSON for what cannot be stored. */
export function record(value: unknown, where: string): Template {
  const holes: Hole[] = []
  const visit = (one: unknown, at: readonly string[], optional: boolean): unknown => {
    const from = sourceOf(one)
    if (from) {
      holes.push({ ...from, at, ...(optional && { optional }) })
      return null
    }
    if (Array.isArray(one)) return one.map((item, index) => visit(item, [...at, String(index)], false))
    if (typeof one !== "object" || one === null || "toJSON" in one) return one
    if (Object.getPrototypeOf(one) !== Object.prototype && Object.getPrototypeOf(one) !== null) return one
    return Object.fromEntries(Object.entries(one).map(([key, item]) => [key, visit(item, [...at, key], true)]))
  }
  const json = visit(value, [], false)
  if (json === undefined) return { json: null }
  const encoded = encodeJson(json)
  if ("problem" in encoded) {
    throw failure("MILLRACE_BAD_JSON", `${where} cannot be stored as JSON: ${encoded.path ?? "$"} ${encoded.problem}.`)
  }
  return { json: JSON.parse(encoded.text), ...(holes.length > 0 && { holes }) }
}

/** The steps that these sources read. */
export function* readsOf(sources: Iterable<Source>): Generator<{ readonly node: Node; readonly loose: boolean }> {
  for (const { node, loose = false, parts = [] } of sources) {
    if (node) yield { node, loose }
    yield* readsOf(parts.flatMap((part) => sourceOf(part) ?? []))
  }
}

/** A stand-in or a plain value, as the database reads it. */
export function storedValue(given: unknown): Record<string, unknown> {
  const from = sourceOf(given)
  return from ? storedSource(from) : { value: given ?? null }
}

function storedSource(from: Source): Record<string, unknown> {
  if (from.from === "text") return { from: "text", parts: (from.parts ?? []).map(storedValue) }
  return {
    from: from.from,
    ...(from.node && { step: from.node.step }),
    ...(from.path.length > 0 && { path: textArray(from.path) }),
  }
}

/** A template that is nothing but one of these says so, and is not filled but taken. */
const takes: ReadonlySet<string> = new Set(["input", "item"])

export function storedTemplate({ json, holes }: Template): Record<string, unknown> {
  if (!holes) return { json }
  const stored = holes.map((hole) => ({
    ...storedSource(hole),
    at: textArray(hole.at),
    ...(hole.optional && { optional: true }),
  }))
  const [only] = holes
  const whole = holes.length === 1 && only && only.at.length === 0 && only.path.length === 0
  return { json, holes: stored, ...(whole && takes.has(only.from) && { take: only.from }) }
}

/** Fills a template that reads nothing but the input; undefined for one that reads more. */
export function fillFromInput({ json, holes = [] }: Template, input: unknown): { readonly value: unknown } | undefined {
  if (holes.some((hole) => hole.from !== "input")) return undefined
  let root = structuredClone(json)
  for (const { at, path } of holes) {
    const value = path.reduce<unknown>(
      (inside, key) => (inside as Record<string, unknown> | null | undefined)?.[key],
      input,
    )
    const last = at.at(-1)
    if (last === undefined) root = value
    else {
      const parent = at.slice(0, -1).reduce<unknown>((inside, key) => (inside as Record<string, unknown>)[key], root)
      const holder = parent as Record<string, unknown>
      if (value === undefined && !Array.isArray(parent)) delete holder[last]
      else holder[last] = value ?? null
    }
  }
  return { value: root }
}

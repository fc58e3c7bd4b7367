import { type Duration, milliseconds } from "./duration.ts"
import { MillraceError } from "./error.ts"
import { didYouMean } from "./nearest.ts"
import { quote } from "./quote.ts"

/*
 * Options are declared once, as a plain object of specs, and everything else follows from it: the type a caller may
 * write, the type the code reads, the defaults, the checks, the near-miss hints and the generated documentation.
 *
 *   const spec = {
 *     // a doc comment here shows up where the caller writes the option
 *     every: duration({ default: "10s", min: 1_000, doc: "Time between two passes." }),
 *   }
 *   export type PrunerOptions = OptionsInput<typeof spec>
 *   const options = parseOptions("pruner", spec, input, { interval: "every" })   // options.every: number
 */

/** One option: what a caller may write (`In`), what the code reads (`Out`), and how to get from one to the other. */
export interface OptionSpec<In, Out> {
  /** For the documentation, e.g. `"duration"`. */
  readonly type: string
  readonly doc: string
  /** As a caller would write it; goes through `parse` like any other value. */
  readonly default?: unknown
  readonly required?: boolean
  /** Checks and normalizes a value that is present. `where` names the option in the error. */
  parse(value: In, where: string): Out
}

export interface OptionsSpec {
  readonly [name: string]: OptionSpec<never, unknown>
}

type Required = { readonly required: true }
type WrittenAs<Spec> = Spec extends { parse(value: infer In, where: string): unknown } ? In : never

/** What a caller may write: everything optional, or undefined, except options declared `required`. */
export type OptionsInput<S extends OptionsSpec> = {
  readonly [Name in keyof S as S[Name] extends Required ? never : Name]?: WrittenAs<S[Name]> | undefined
} & { readonly [Name in keyof S as S[Name] extends Required ? Name : never]: WrittenAs<S[Name]> }

/** What the code reads: undefined only where an option has no default and is not required. */
export type OptionsOutput<S extends OptionsSpec> = { readonly [Name in keyof S]: ReturnType<S[Name]["parse"]> }

interface Settings<Default, Must> {
  /** Used when the option is left out or undefined. */
  readonly default?: Default
  /** Refuse input without this option; default false. */
  readonly required?: Must
  /** One or two sentences for the documentation. */
  readonly doc: string
}

type Declared<In, Out, Default, Must> = [Must] extends [true]
  ? OptionSpec<In, Out> & Required
  : OptionSpec<In, [Default] extends [undefined] ? Out | undefined : Out>

/** A duration, read as whole milliseconds. `min` and `max` are milliseconds. */
export function duration<D extends Duration | undefined = undefined, M extends boolean = false>(
  settings: Settings<D, M> & { readonly min?: number; readonly max?: number },
): Declared<Duration, number, D, M> {
  return declare("duration", settings, (value, where) => {
    if (typeof value === "number" || typeof value === "string") return milliseconds(value, where, settings)
    throw wrong(where, value, 'a duration such as "90s", or a number of milliseconds')
  })
}

/** A whole number; `min` defaults to 0 and `max` to the largest safe integer. */
export function integer<D extends number | undefined = undefined, M extends boolean = false>(
  settings: Settings<D, M> & { readonly min?: number; readonly max?: number },
): Declared<number, number, D, M> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = settings
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
  return declare("integer", settings, (value, where) => {
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) return value
    throw wrong(where, value, `a whole number ${range}`)
  })
}

export function boolean<D extends boolean | undefined = undefined, M extends boolean = false>(
  settings: Settings<D, M>,
): Declared<boolean, boolean, D, M> {
  return declare("boolean", settings, (value, where) => {
    if (typeof value === "boolean") return value
    throw wrong(where, value, "true or false")
  })
}

/** Text that is not empty and, with `pattern`, matches it; `expects` puts the pattern into words. */
export function text<D extends string | undefined = undefined, M extends boolean = false>(
  settings: Settings<D, M> & { readonly pattern?: RegExp; readonly expects?: string },
): Declared<string, string, D, M> {
  const { pattern, expects = pattern ? `text that matches ${pattern}` : "text that is not empty" } = settings
  // A global or sticky expression remembers where it stopped, and would refuse every second call.
  const stateless = pattern && new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ""))
  return declare("text", settings, (value, where) => {
    if (typeof value === "string" && (stateless ? stateless.test(value) : value !== "")) return value
    throw wrong(where, value, expects)
  })
}

/** One of a fixed set of values. */
export function oneOf<
  const V extends readonly (string | number | boolean)[],
  D extends V[number] | undefined = undefined,
  M extends boolean = false,
>(values: V, settings: Settings<D, M>): Declared<V[number], V[number], D, M> {
  const names = values.filter((one) => typeof one === "string")
  const type = values.map((one) => JSON.stringify(one)).join(" | ")
  return declare(type, settings, (value, where) => {
    const found: V[number] | undefined = values.find((one) => one === value)
    if (found !== undefined) return found
    throw wrong(where, value, values.map(quote).join(", "), typeof value === "string" ? didYouMean(value, names) : "")
  })
}

/** Any number of values of another spec, read as a frozen array; `min` and `max` count them. */
export function list<In, Out, D extends readonly In[] | undefined = undefined, M extends boolean = false>(
  of: OptionSpec<In, Out>,
  settings: Settings<D, M> & { readonly min?: number; readonly max?: number },
): Declared<readonly In[], readonly Exclude<Out, undefined>[], D, M> {
  const { min = 0, max = Number.POSITIVE_INFINITY } = settings
  return declare(`list of ${of.type}`, settings, (value, where) => {
    if (!Array.isArray(value)) throw wrong(where, value, `a list of ${of.type}`)
    if (value.length < min) throw wrong(where, value, `a list of at least ${min}`)
    if (value.length > max) throw wrong(where, value, `a list of at most ${max}`)
    const parse = (item: unknown, index: number) => of.parse(item as In, `${where}[${index}]`)
    return Object.freeze(Array.from(value, parse)) as readonly Exclude<Out, undefined>[]
  })
}

interface ValueSettings {
  /** For the documentation; default `"value"`. */
  readonly type?: string
  /** What is wrong with a value: the end of a sentence (`"must be a function"`) or one of its own. Undefined: it is fine. */
  readonly check?: (value: unknown) => string | undefined
}

/** Anything else, such as functions and objects: passed on untouched once `check` agrees. */
export function value<T>(settings: Settings<T, false> & ValueSettings & { readonly default: T }): OptionSpec<T, T>
export function value<T>(settings: Settings<T, true> & ValueSettings & Required): OptionSpec<T, T> & Required
export function value<T>(settings: Settings<T, false> & ValueSettings): OptionSpec<T, T | undefined>
export function value<T>(settings: Settings<T, boolean> & ValueSettings): OptionSpec<T, T | undefined> {
  return declare<T, T, T, boolean>(settings.type ?? "value", settings, (given, where) => {
    const problem = settings.check?.(given)
    if (problem === undefined) return given as T
    const text = problem.endsWith(".") ? problem : `${problem}, not ${quote(given)}.`
    throw new MillraceError("MILLRACE_BAD_OPTION", `${where}: ${text}`)
  })
}

/**
 * Checks `input` against `spec` and returns it normalized, frozen, with defaults filled in. Undefined counts as left
 * out, for an option and for the whole input.
 *
 * `owner` starts every message: `"pruner.every: …"`. `hints` maps names that other libraries use to ours, or to a
 * sentence that says what to do instead.
 *
 * Throws `MILLRACE_UNKNOWN_OPTION` for keys the spec lacks, `MILLRACE_BAD_OPTION` for wrong values and input that is
 * no plain object, and `MILLRACE_BAD_DURATION` for a malformed duration.
 */
export function parseOptions<const S extends OptionsSpec>(
  owner: string,
  spec: S,
  input: unknown,
  hints: Readonly<Record<string, string>> = {},
): OptionsOutput<S> {
  const given = input === undefined ? {} : plainObject(owner, input)
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(spec, key)) throw unknownOption(owner, spec, key, hints)
  }
  const parsed = Object.entries(spec).map(([name, one]) => {
    const own = Object.hasOwn(given, name) ? given[name] : undefined
    return [name, parseOne(one, own, `${owner}.${name}`)]
  })
  return Object.freeze(Object.fromEntries(parsed))
}

export interface OptionDescription {
  readonly name: string
  readonly type: string
  /** As a caller would write it; `"required"`, or empty when there is none. */
  readonly default: string
  readonly doc: string
}

/** The rows of the options' documentation. Throws `MILLRACE_BAD_OPTION` for an option that says nothing of itself. */
export function describeOptions(owner: string, spec: OptionsSpec): OptionDescription[] {
  return Object.entries(spec).map(([name, { type, doc, required, default: fallback }]) => {
    if (doc.trim() === "") throw new MillraceError("MILLRACE_BAD_OPTION", `${owner}.${name}: has no documentation.`)
    return { name, type, default: required ? "required" : describeDefault(fallback), doc }
  })
}

function describeDefault(fallback: unknown): string {
  if (fallback === undefined) return ""
  return typeof fallback === "function" ? "a function" : JSON.stringify(fallback)
}

function declare<In, Out, Default, Must>(
  type: string,
  settings: Settings<Default, Must>,
  parse: (value: unknown, where: string) => Out,
): Declared<In, Out, Default, Must> {
  const { doc, required, default: fallback } = settings
  if (fallback !== undefined) parse(fallback, "default") // a bad default fails where it is written
  const spec = Object.freeze({ type, doc, parse, ...(required && { required }), default: fallback })
  // Whether `required` and `default` are there is exactly what `Declared` looks at; the compiler cannot follow it.
  return spec as unknown as Declared<In, Out, Default, Must>
}

function parseOne(spec: OptionSpec<never, unknown>, given: unknown, where: string): unknown {
  if (given === undefined && spec.required) {
    throw new MillraceError("MILLRACE_BAD_OPTION", `${where}: is required (${spec.type}).`)
  }
  const written = given === undefined ? spec.default : given
  return written === undefined ? undefined : spec.parse(written as never, where)
}

// Only plain objects: a Map or a promise has no keys of its own and would pass as "all defaults".
function plainObject(owner: string, input: unknown): Record<string, unknown> {
  if (typeof input === "object" && input !== null && !Array.isArray(input)) {
    const prototype: unknown = Object.getPrototypeOf(input)
    // An object literal of another realm has a foreign Object.prototype, whose own prototype is null as well.
    if (prototype === null || Object.getPrototypeOf(prototype) === null) return input as Record<string, unknown>
  }
  throw wrong(owner, input, "a plain object of options")
}

function unknownOption(owner: string, spec: OptionsSpec, key: string, hints: Readonly<Record<string, string>>) {
  const names = Object.keys(spec)
  const hint = Object.hasOwn(hints, key) ? hints[key] : undefined
  const named =
    hint !== undefined && Object.hasOwn(spec, hint) ? ` It is called ${JSON.stringify(hint)} here.` : undefined
  const near = named ?? (hint === undefined ? didYouMean(key, names) : ` ${hint}`)
  const known = names.length === 0 ? " There are none." : ` Known: ${names.join(", ")}.`
  return new MillraceError("MILLRACE_UNKNOWN_OPTION", `${owner}: there is no option ${quote(key)}.${near || known}`)
}

function wrong(where: string, value: unknown, expected: string, near = ""): MillraceError {
  return new MillraceError("MILLRACE_BAD_OPTION", `${where}: expected ${expected}, not ${quote(value)}.${near}`)
}

import type { StandardSchemaV1 } from "@standard-schema/spec"
import type { Backoff } from "../lib/backoff.ts"
import { encodeJson } from "../lib/json.ts"
import { parseOptions, type OptionsInput } from "../lib/options.ts"
import { failure } from "./errors.ts"
import type { NewJob } from "./job.ts"
import {
  definitionOptions,
  jobHints,
  pushOptions,
  type Moment,
  type PushDetails,
  type PushOptions,
  type ByPayload,
  type Debounce,
  type Throttle,
  type UniqueKey,
} from "./job-options.ts"
import { debounceOf, limitKeyOf, throttleOf, uniqueKeyOf, type Uniqueness } from "./uniqueness.ts"
import { checkName } from "./name.ts"
import type { AnyDefinition, Pushable } from "./pushable.ts"
import type { RunningJob } from "./running-job.ts"
import type { Directive } from "./outcome.ts"
import { uuidv7 } from "../lib/uuid.ts"

export type { AnyDefinition, Pushable }

type Awaitable<T> = T | Promise<T>

/** What a handler gives back: its result, or how its attempt shall end otherwise. */
export type Returned<Result> = Awaitable<Result | Directive>

/** One job of a batch: the job with its payload. */
export type BatchedJob<Payload, Result = unknown> = RunningJob<Result> & { readonly payload: Payload }

export interface BatchOptions {
  /** Most jobs in one call. */
  readonly size: number
}

/**
 * A handler of one definition, to be given to a worker. Made by `definition.handler(…)` or `definition.batch(…)`.
 */
export interface Handler {
  readonly definition: AnyDefinition
  readonly batchSize: number | undefined
  /** URL of the module that exports it; undefined for one written in the program of the worker. */
  readonly module?: string
  /** Runs one job, or one batch: one entry per job is returned. */
  run(jobs: readonly BatchedJob<never, never>[]): Awaitable<unknown>
}

/** What a job name means. Shared by both sides; loads no handler code. */
export interface JobDefinition<in Input, out Payload, in out Returns, out Result = Returns> extends Pushable<
  Input,
  Result
> {
  /** A handler for one job per call. */
  handler(run: (payload: Payload, job: RunningJob<Returns>) => Returned<Returns>): Handler
  /**
   * A handler for up to `size` jobs per call. It returns nothing (all succeeded) or one entry per job, in order: a
   * result, a directive such as `snooze("5m")`, or an Error for an attempt that failed. What it throws fails them all.
   */
  batch(
    options: BatchOptions,
    run: (
      jobs: readonly BatchedJob<Payload, Returns>[],
    ) => Awaitable<readonly (Returns | Directive | Error | undefined)[] | void>,
  ): Handler
}

interface WithSchema<P, R> {
  readonly payload: P
  readonly result?: R
}

type Spec = typeof definitionOptions
type Described = Omit<OptionsInput<Spec>, "payload" | "result" | keyof Keys<never>>

/** The options that are functions of the payload. */
interface Keys<Payload> {
  readonly uniqueKey?: (payload: Payload) => UniqueKey | undefined
  readonly limitKey?: string | ((payload: Payload) => string | number)
  readonly debounce?: ByPayload<Debounce, Payload>
  readonly throttle?: ByPayload<Throttle, Payload>
}

/**
 * Defines a job: its name, the schema of its payload and its result, and its defaults.
 *
 * @example
 * export const resize = defineJob({
 *   name: "resize",
 *   payload: z.object({ url: z.url(), width: z.number().int() }),
 *   queue: "media", maxAttempts: 5, timeout: "30s",
 * })
 *
 * @throws MILLRACE_BAD_NAME, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION, MILLRACE_UNKNOWN_OPTION.
 */
export function defineJob<P extends StandardSchemaV1, R extends StandardSchemaV1 = StandardSchemaV1<unknown, unknown>>(
  options: Described & WithSchema<P, R> & Keys<StandardSchemaV1.InferInput<P>>,
): JobDefinition<
  StandardSchemaV1.InferInput<P>,
  StandardSchemaV1.InferOutput<P>,
  StandardSchemaV1.InferInput<R>,
  StandardSchemaV1.InferOutput<R>
>
export function defineJob<Payload = unknown, Result = unknown>(
  options: Described & { readonly payload?: undefined; readonly result?: undefined } & Keys<Payload>,
): JobDefinition<Payload, Payload, Result>
export function defineJob(given: object): never {
  const options = parseOptions("defineJob", definitionOptions, given, jobHints)
  const name = checkName("defineJob.name", options.name)
  checkName("defineJob.queue", options.queue)
  for (const alias of options.aliases) checkName("defineJob.aliases", alias)
  const definition = {
    name,
    aliases: options.aliases,
    defaults: Object.freeze({ ...options, kind: kindOf(name, options, {}) }),
    payloadSchema: options.payload,
    resultSchema: options.result,
    upgrade: options.upgrade,
    onError: options.onError,
    handler(run: (payload: unknown, job: RunningJob) => unknown): Handler {
      return handlerOf(definition, undefined, checked(name, run) && (([job]) => run(job!.payload, job!)))
    },
    batch(batch: BatchOptions, run: (jobs: readonly BatchedJob<never, never>[]) => Awaitable<unknown>): Handler {
      const size = batch?.size
      if (!Number.isInteger(size) || size < 1 || size > 10_000) {
        throw failure(
          "MILLRACE_BAD_OPTION",
          `batch.size of "${name}" must be a whole number from 1 to 10,000, not ${String(size)}.`,
        )
      }
      return handlerOf(definition, size, checked(name, run))
    },
  }
  return Object.freeze(definition) as never
}

function checked<Run>(name: string, run: Run): Run {
  if (typeof run === "function") return run
  throw failure("MILLRACE_BAD_OPTION", `The handler of "${name}" must be a function.`)
}

const handlerOf = (definition: AnyDefinition, batchSize: number | undefined, run: Handler["run"]): Handler =>
  Object.freeze({ definition, batchSize, run })

/** What `preparePush` needs to know beside the definition. */
export interface PushContext {
  /** Bytes of JSON text. */
  readonly maxPayload: number
}

/** Makes the row for one payload; a promise only when the schema is asynchronous. */
export type MakeJob = (payload: unknown) => Awaitable<NewJob>

/**
 * Checks the options of a push once, for any number of payloads. The stored payload is the validated *input*; handlers
 * receive the schema's output.
 *
 * @throws MILLRACE_BAD_OPTION, …; the function it returns throws MILLRACE_BAD_PAYLOAD, MILLRACE_BAD_JSON,
 *   MILLRACE_PAYLOAD_TOO_LARGE.
 */
export function preparePush(definition: AnyDefinition, given: PushOptions | undefined, context: PushContext): MakeJob {
  if (typeof definition?.defaults?.kind !== "string") {
    throw failure(
      "MILLRACE_BAD_OPTION",
      "push: the first argument must be a job definition, made by defineJob({ name: … }).",
    )
  }
  const row = prepareRow(definition, given, context)
  const schema = definition.payloadSchema
  if (!schema) return row
  return (payload) => {
    const checked = schema["~standard"].validate(payload)
    const done = (result: StandardSchemaV1.Result<unknown>): NewJob => {
      if (result.issues) throw refused(definition, result.issues)
      return row(payload)
    }
    return checked instanceof Promise ? checked.then(done) : done(checked)
  }
}

export const refused = (definition: AnyDefinition, issues: readonly StandardSchemaV1.Issue[], what = "payload") =>
  failure(
    what === "payload" ? "MILLRACE_BAD_PAYLOAD" : "MILLRACE_BAD_RESULT",
    `The ${what} of "${definition.name}" was refused by its schema: ${issues.slice(0, 5).map(issueText).join("; ")}`,
  )

function issueText(issue: StandardSchemaV1.Issue): string {
  const path = (issue.path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".")
  return path === "" ? issue.message : `${path}: ${issue.message}`
}

/** Everything about a push but its payload, and the function that adds the payload. */
function prepareRow(
  definition: AnyDefinition,
  given: PushOptions | undefined,
  context: PushContext,
): (payload: unknown) => NewJob {
  const { name, defaults } = definition
  const byPayload = defaults.uniqueKey ?? defaults.limitKey ?? defaults.debounce ?? defaults.throttle
  if (given === undefined && !byPayload) {
    const { queue, kind } = defaults
    return (payload) => ({
      id: uuidv7(),
      queue,
      name,
      kind,
      payload: payloadText(definition, payload, context),
      uniqueKey: undefined,
      later: false,
    })
  }
  const options = parseOptions("push", pushOptions, given, jobHints)
  const queue = checkName("push.queue", options.queue ?? defaults.queue)
  if (options.runAt && options.delay !== undefined) {
    throw failure("MILLRACE_BAD_OPTION", "push: runAt and delay say the same thing twice; give one of them.")
  }
  const run: Moment | undefined = options.runAt ?? (options.delay === undefined ? undefined : { inMs: options.delay })
  const base = { ...defaults, queue }
  const kind = kindOf(name, base, options, { run })
  return (payload) => {
    const text = payloadText(definition, payload, context)
    const unique = uniquenessFor(definition, options, queue, payload)
    const limitKey = options.limitKey ?? (defaults.limitKey && limitKeyOf(name, defaults.limitKey, payload))
    const due = unique?.delayMs === undefined ? run : { inMs: unique.delayMs }
    return {
      id: options.id ?? uuidv7(),
      queue,
      name,
      kind: unique || limitKey !== undefined ? kindOf(name, base, options, { run: due, unique, limitKey }) : kind,
      payload: text,
      uniqueKey: unique?.sort,
      special: unique?.reserved !== undefined || unique?.conflict !== undefined,
      later: due !== undefined && due.inMs !== 0,
    }
  }
}

/** What this push is told apart by: at most one of three ways, and the push's own before the definition's. */
function uniquenessFor(
  { name, defaults }: AnyDefinition,
  options: Partial<PushDetails>,
  queue: string,
  payload: unknown,
): Uniqueness | undefined {
  const place = { name, queue }
  const own = [options.uniqueKey, options.debounce, options.throttle].filter((one) => one !== undefined)
  if (own.length > 1) throw several(name)
  const of = own.length > 0 ? options : keysOf(defaults, payload)
  if ([of.uniqueKey, of.debounce, of.throttle].filter((one) => one !== undefined).length > 1) throw several(name)
  if (of.debounce !== undefined) {
    if (options.runAt !== undefined || options.delay !== undefined)
      throw failure(
        "MILLRACE_BAD_OPTION",
        `push: a debounced job ("${name}") starts after its wait; leave out runAt and delay.`,
      )
    return debounceOf(place, of.debounce)
  }
  if (of.throttle !== undefined) return throttleOf(place, of.throttle)
  return of.uniqueKey === undefined ? undefined : uniqueKeyOf(place, of.uniqueKey)
}

const several = (name: string) =>
  failure(
    "MILLRACE_BAD_OPTION",
    `Job "${name}": uniqueKey, debounce and throttle exclude each other; give one of them.`,
  )

function keysOf({ uniqueKey, debounce, throttle }: AnyDefinition["defaults"], payload: unknown) {
  const by = <Options extends { readonly key: string }>(options: ByPayload<Options> | undefined) =>
    options && ({ ...options, key: options.key(payload as never) } as unknown as Options)
  return {
    uniqueKey: uniqueKey?.(payload as never),
    debounce: by<Debounce>(debounce),
    throttle: by<Throttle>(throttle),
  }
}

function payloadText(definition: AnyDefinition, payload: unknown, { maxPayload }: PushContext): string {
  if (payload === undefined) return "null"
  const json = encodeJson(payload)
  if ("problem" in json) {
    throw failure(
      "MILLRACE_BAD_JSON",
      `The payload of "${definition.name}" cannot be stored as JSON: ${json.path ?? "$"} ${json.problem}.`,
    )
  }
  if (json.bytes > maxPayload) throw tooLarge(definition, json.bytes, maxPayload)
  return json.text
}

const tooLarge = (definition: AnyDefinition, bytes: number, limit: number) =>
  failure(
    "MILLRACE_PAYLOAD_TOO_LARGE",
    `The payload of "${definition.name}" is ${bytes} bytes of JSON, over the limit of ${limit}. ` +
      "Store the data elsewhere and push a reference to it, or raise `maxPayload`.",
  )

interface KindFields extends Partial<Omit<PushDetails, "uniqueKey" | "queue" | "limitKey" | "debounce" | "throttle">> {
  readonly queue: string
}

interface KindExtras {
  readonly run?: Moment | undefined
  readonly unique?: Uniqueness | undefined
  readonly limitKey?: string | undefined
}

/** The JSON of a kind: what differs from the column defaults, and nothing else. */
function kindOf(
  name: string,
  base: KindFields,
  options: Partial<PushDetails>,
  { run, unique, limitKey }: KindExtras = {},
): string {
  const backoff: Backoff | undefined = options.backoff
  const weight = options.weight ?? base.weight
  const own = backoff || weight !== undefined || limitKey !== undefined || unique?.reserved
  const retention = options.retention ?? base.retention
  const { expiresAt } = options
  const meta = options.meta ?? base.meta
  return JSON.stringify({
    queue: base.queue,
    name,
    rank: negated(options.priority ?? base.priority),
    max_attempts: options.maxAttempts ?? base.maxAttempts,
    timeout_ms: options.timeout ?? base.timeout,
    keep_s: retention?.succeeded,
    keep_failed_s: retention?.failed,
    delay_ms: run?.inMs,
    run_at: run?.at,
    expires_ms: expiresAt?.inMs,
    expires_at: expiresAt?.at,
    unique_key: unique?.uniqueKey,
    conflict: unique?.conflict,
    max_wait_ms: unique?.maxWaitMs,
    meta,
    tags: options.tags ?? base.tags,
    options: own && { backoff, weight, key: limitKey, unique: unique?.reserved },
  })
}

const negated = (priority: number | undefined): number | undefined => (priority ? -priority : undefined)

import { checkGlob } from "../lib/glob.ts"
import { encodeJson } from "../lib/json.ts"
import { bytes, type Bytes } from "../lib/bytes.ts"
import {
  boolean,
  duration,
  integer,
  list,
  parseOptions,
  text,
  value,
  type OptionsInput,
  type OptionSpec,
} from "../lib/options.ts"
import { checkBuiltIn } from "./built-in-executors.ts"
import { failure } from "./errors.ts"
import { checkLimits, limitOptions, type LimitsRecord } from "./limits.ts"
import { checkName } from "./name.ts"

const tagPattern = value<string>({
  type: "glob",
  doc: "A glob over worker tags.",
  check: (pattern) => (typeof pattern === "string" ? checkGlob(pattern) : "must be text"),
})

const memory: OptionSpec<Bytes, number | undefined> = Object.freeze({
  type: "bytes",
  doc: 'Most memory that a job may take, where its executor can tell: a number of bytes, or text such as "512mb".',
  parse: (given: Bytes, where: string) => bytes(given, where) || undefined,
})

/** The options of a queue, as they stand in its row. */
export const queueOptions = {
  /** Letters, digits and `_ . : / # -`. */
  name: text({ required: true, doc: "Letters, digits and `_ . : / # -`." }),
  /** Jobs that one worker runs at a time. Default: the executor's (async 100). */
  concurrency: integer({
    min: 1,
    max: 100_000,
    doc: "Jobs that one worker runs at a time. Default: the executor's (async 100).",
  }),
  /** Where handlers run: `async`, `thread`, `process`, or a name that workers register. */
  executor: text({
    default: "async",
    doc: "Where handlers run: `async`, `thread`, `process`, or a name that workers register.",
  }),
  /** Longest time of one attempt, whatever longer one its job asks for. Default none. */
  timeout: duration({
    min: 1,
    max: 2_147_483_647,
    doc: "Longest time of one attempt, whatever longer one its job asks for. Default none.",
  }),
  /** Most memory of one job: of its process, or of its thread's JavaScript heap. Bytes, or text such as `"512mb"`. */
  memoryLimit: memory,
  /** Passed to the executor. */
  executorOptions: value<Readonly<Record<string, unknown>>>({
    type: "object",
    default: {},
    doc: "Passed to the executor.",
    check: (given) => {
      if (typeof given !== "object" || given === null || Array.isArray(given)) return "must be an object"
      const json = encodeJson(given)
      return "problem" in json ? `must be JSON that can be stored: ${json.path ?? "$"} ${json.problem}` : undefined
    },
  }),
  /** Workers run this queue when any of these globs matches any of their tags, whole. Default `["*"]`; `[]`: nobody. */
  tags: list(tagPattern, {
    default: ["*"],
    doc: "Workers run this queue when any of these globs matches any of their tags, whole; an empty list: nobody.",
  }),
  /** Jobs that a worker may hold beyond its free slots. Default: as many as it starts within 50 ms; 0 for none. */
  claimAhead: integer({
    max: 10_000,
    doc: "Jobs that a worker may hold beyond its free slots. Default: as many as it starts within 50 ms; 0 for none.",
  }),
  /** How long an idle worker waits before it looks by itself, ±10 %. */
  pollInterval: duration({
    default: "1s",
    min: 50,
    max: 3_600_000,
    doc: "How long an idle worker waits before it looks by itself, ±10 %.",
  }),
  ...limitOptions,
}

export type QueueOptions = OptionsInput<typeof queueOptions>

const hints = {
  polling_interval: "pollInterval",
  time_limit: "timeout",
  timeLimit: "timeout",
  memory_limit: "memoryLimit",
  executor_options: "executorOptions",
  limit: "concurrency",
  global_limit: "globalConcurrency",
  maxConcurrency: "globalConcurrency",
  rate_limit: "rateLimit",
  rate_limit_window: 'A window belongs to its limit: rateLimit: { limit: 100, per: "1m" }.',
  rateLimitWindow: 'A window belongs to its limit: rateLimit: { limit: 100, per: "1m" }.',
  groupConcurrency: "keyConcurrency",
  partition: "A key belongs to the job definition: limitKey.",
  limitKey: 'A key belongs to the job definition: defineJob({ limitKey: "customer.id" }).',
  breaker: "circuitBreaker",
}

/**
 * Checks and fills in a queue's options; a bare string is a queue with every default.
 *
 * @throws MILLRACE_BAD_NAME, MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_LIMIT_REFUSED.
 */
export function parseQueue(given: QueueOptions | string) {
  const options = parseOptions("queue", queueOptions, typeof given === "string" ? { name: given } : given, hints)
  checkName("queue.name", options.name)
  checkBuiltIn(options)
  checkLimits(options)
  return options
}

export type ParsedQueue = ReturnType<typeof parseQueue>

/** A queue as it stands in the database. */
export interface QueueRecord extends LimitsRecord {
  readonly name: string
  readonly concurrency: number | undefined
  readonly executor: string
  /** Milliseconds. */
  readonly timeout: number | undefined
  /** Bytes. */
  readonly memoryLimit: number | undefined
  readonly executorOptions: Readonly<Record<string, unknown>>
  readonly tags: readonly string[]
  readonly claimAhead: number | undefined
  /** Milliseconds. */
  readonly pollInterval: number
  readonly paused: boolean
  /** Why it is paused, where its circuit breaker did it. */
  readonly pauseReason: string | undefined
  /** When a paused queue resumes by itself. */
  readonly resumeAt: Date | undefined
  readonly revision: number
  readonly createdAt: Date
}

export const declareOptions = {
  /** Overwrite the options of a queue that exists. Default false: it stays as it is. */
  upsert: boolean({ default: false, doc: "Overwrite the options of a queue that exists; else it stays as it is." }),
}

export const unknownQueue = (name: string) =>
  failure(
    "MILLRACE_UNKNOWN_QUEUE",
    `There is no queue "${name}". Declare it with app.declareQueue({ name: "${name}" }).`,
  )

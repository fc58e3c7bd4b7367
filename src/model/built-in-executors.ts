import { boolean, duration, integer, list, oneOf, parseOptions, text, value, type OptionsSpec } from "../lib/options.ts"
import { checkLimits, type AskedLimits, type Limit } from "./executor.ts"

/*
 * What the built-in executors take and promise, so that an app can refuse a queue when it is declared, on a machine that
 * runs no worker. Whoever registers another executor under one of these names keeps to the same options.
 */

/** Options of queues with the executor `thread` or `process`. */
export const poolOptions = {
  /** Jobs after which a thread or process is replaced. Default: threads never, processes after 10,000; 0: never. */
  maxJobs: integer({
    doc: "Jobs after which a thread or process is replaced. Default: threads never, processes after 10,000; 0: never.",
  }),
  /** How long a thread or process may be without a job before it ends. The last one stays. */
  idleTimeout: duration({
    default: "1m",
    doc: "How long a thread or process may be without a job before it ends. The last one stays.",
  }),
  /** How long a thread or process may take to start, with its modules. */
  startTimeout: duration({
    default: "30s",
    min: 1,
    doc: "How long a thread or process may take to start, with its modules.",
  }),
}

const strings = (given: unknown): string | undefined =>
  typeof given === "object" && given !== null && Object.values(given).every((one) => typeof one === "string")
    ? undefined
    : "must be an object of texts"

/** Options of queues with the executor `command`. */
export const commandOptions = {
  /** The program: a path, or a name to be found in the worker's PATH. */
  program: text({ required: true, doc: "The program: a path, or a name to be found in the worker's PATH." }),
  /** Its arguments, as they are: no shell reads them. */
  args: list(text({ doc: "An argument." }), { default: [], doc: "Its arguments, as they are: no shell reads them." }),
  /** Its working directory. Default: the worker's. */
  cwd: text({ doc: "Its working directory. Default: the worker's." }),
  /** Its environment, beside what `passEnv` lets through. */
  env: value<Readonly<Record<string, string>>>({
    type: "object",
    default: {},
    doc: "Its environment, beside what `passEnv` lets through.",
    check: strings,
  }),
  /** Variables of the worker's environment that it gets; nothing else of it. */
  passEnv: list(text({ doc: "A variable's name." }), {
    default: [],
    doc: "Variables of the worker's environment that it gets; nothing else of it.",
  }),
  /** What its exit status 0 means: the outcome is the JSON on its standard output, or success whatever it printed. */
  outcome: oneOf(["json", "status"], {
    default: "json",
    doc: "What its exit status 0 means: the outcome is the JSON on its standard output, or success whatever it printed.",
  }),
  /** SIGTERM goes first when a job is stopped; SIGKILL after this time. */
  killAfter: duration({ default: "2s", doc: "SIGTERM goes first when a job is stopped; SIGKILL after this time." }),
  /** Bytes of standard output that are read. */
  maxOutput: integer({ default: 1_000_000, min: 1, doc: "Bytes of standard output that are read." }),
  /** Lines of its standard error go to the job's log. */
  logErrors: boolean({ default: true, doc: "Lines of its standard error go to the job's log." }),
}

const hints = {
  maximum_jobs_per_worker: "maxJobs",
  concurrency: "Concurrency belongs to the queue itself: { name, concurrency }.",
  timeout: "The time limit belongs to the queue itself: { name, timeout }.",
  memoryLimit: "The memory limit belongs to the queue itself: { name, memoryLimit }.",
  init: "The init module belongs to the worker's program: executors: { thread: threadExecutor({ init }) }.",
  command: "program",
  arguments: "args",
}

interface BuiltIn {
  readonly options: OptionsSpec
  readonly limits: readonly Limit[]
}

export const builtIn = {
  async: { options: {}, limits: ["time"] },
  thread: { options: poolOptions, limits: ["time", "memory"] },
  process: { options: poolOptions, limits: ["time", "memory"] },
  command: { options: commandOptions, limits: ["time"] },
} as const satisfies Record<string, BuiltIn>

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export const parseExecutorOptions = <const S extends OptionsSpec>(queue: string, spec: S, given: unknown) =>
  parseOptions(`queue "${queue}".executorOptions`, spec, given, hints)

/** Refuses what the built-in executor of a queue does not take or cannot honour; knows nothing of others. */
export function checkBuiltIn(
  queue: AskedLimits & { readonly executor: string; readonly executorOptions: object },
): void {
  const { executor, name } = queue
  if (!Object.hasOwn(builtIn, executor)) return
  const { options, limits }: BuiltIn = builtIn[executor as keyof typeof builtIn]
  parseExecutorOptions(name, options, queue.executorOptions)
  checkLimits(executor, limits, queue)
}

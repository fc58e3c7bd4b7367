import {
  boolean,
  duration,
  integer,
  list,
  oneOf,
  parseOptions,
  text,
  value,
  type OptionsInput,
  type OptionSpec,
} from "../lib/options.ts"
import type { Handler } from "../model/definition.ts"
import { failure } from "../model/errors.ts"
import type { ExecutorEntry } from "../model/executor.ts"
import type { Plugin } from "../model/plugin.ts"

function areExecutors(given: unknown): string | undefined {
  if (typeof given !== "object" || given === null) return "must be an object"
  const wrong = Object.entries(given).find(([, one]) => typeof one !== "function" && typeof one?.run !== "function")
  return (
    wrong && `"${wrong[0]}" must be an executor: an object with run(attempt), or a function that makes one for a queue`
  )
}

function isEndpoint(given: unknown): string | undefined {
  if (typeof given !== "object" || given === null) return 'must be an object such as { port: 8080, host: "0.0.0.0" }'
  const { port, host, ...rest } = given as Record<string, unknown>
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) return `has no "${unknown}", only port and host`
  if (!Number.isInteger(port) || Number(port) < 0 || Number(port) > 65_535) return "needs a port from 0 to 65535"
  return host === undefined || typeof host === "string" ? undefined : "needs text as its host"
}

type Source = Handler | URL

const handlers: OptionSpec<Source | readonly Source[], readonly Source[]> = Object.freeze({
  type: "handlers, URLs of modules",
  doc: "Handlers, and URLs of modules that export some.",
  default: [],
  parse(given: Source | readonly Source[], where: string): readonly Source[] {
    if (Array.isArray(given)) return given as readonly Source[]
    if (given instanceof URL || (typeof given === "object" && given !== null)) return [given as Source]
    throw failure(
      "MILLRACE_BAD_OPTION",
      `${where}: expected a list of handlers, or the URL of a module that exports them.`,
    )
  },
})

export const workerOptions = {
  /** Names this worker; unique among live ones. Default: a random UUID. */
  id: text({ doc: "Names this worker; unique among live ones. Default: a random UUID." }),
  /** Tags that queues are placed by, beside the automatic ones. */
  tags: list(text({ doc: "A tag." }), {
    default: [],
    doc: "Tags that queues are placed by, beside the automatic ones.",
  }),
  /**
   * Handlers, made by `definition.handler(…)` or `definition.batch(…)`, and URLs of modules that export some. Queues with
   * the executor `thread` or `process` run only those of modules.
   */
  handlers,
  /** Executors by name, beside `async`, `thread` and `process`. */
  executors: value<Readonly<Record<string, ExecutorEntry>>>({
    type: "object",
    default: {},
    doc: "Executors by name, beside `async`, `thread` and `process`.",
    check: areExecutors,
  }),
  /** Plugins of this worker, beside those of the app; the name of one that is there replaces it. */
  plugins: list(value<Plugin>({ type: "plugin", doc: "A plugin." }), {
    default: [],
    doc: "Plugins of this worker, beside those of the app; the name of one that is there replaces it.",
  }),
  /** Whether leadership, recovery, pruner and metrics are there although nobody named them. */
  defaultPlugins: boolean({
    default: true,
    doc: "Whether leadership, recovery, pruner and metrics are there although nobody named them.",
  }),
  /** Who hears events of jobs on the hub: this process, or all (`cluster`, a notification per event). */
  jobEvents: oneOf(["local", "cluster"], {
    default: "local",
    doc: "Who hears events of jobs on the hub: this process, or all (`cluster`, a notification per event).",
  }),
  /** How often the lease is renewed. */
  heartbeat: duration({ default: "5s", min: 50, doc: "How often the lease is renewed." }),
  /** How long claims stay valid without a renewal; at least two heartbeats. */
  lease: duration({
    default: "30s",
    min: 100,
    doc: "How long claims stay valid without a renewal; at least two heartbeats.",
  }),
  /** How often the queues' rows are read again, beside notifications. */
  queuePoll: duration({
    default: "10s",
    min: 50,
    doc: "How often the queues' rows are read again, beside notifications.",
  }),
  /** How often dead workers' claims are looked for. */
  sweep: duration({ default: "10s", min: 50, doc: "How often dead workers' claims are looked for." }),
  /** How long `stop()` lets jobs finish before it fires their signals. */
  shutdownTimeout: duration({
    default: "30s",
    doc: "How long `stop()` lets jobs finish before it fires their signals.",
  }),
  /** How long a handler may go on after its signal fired, before its job is settled without it. */
  grace: duration({
    default: "5s",
    doc: "How long a handler may go on after its signal fired, before its job is settled without it.",
  }),
  /** An event loop blocked for longer ends the process (only with `dsn`); 0: never. */
  hangTimeout: duration({
    default: "5m",
    doc: "An event loop blocked for longer ends the process (only with `dsn`); 0: never.",
  }),
  /** A job that was lost with its worker so many times fails. */
  maxCrashes: integer({
    default: 3,
    min: 1,
    max: 1_000_000,
    doc: "A job that was lost with its worker so many times fails.",
  }),
  /** Serves /healthz, /readyz and /metrics over HTTP: `{ port: 8080 }`. Port 0: any free one, told by `worker.healthPort`. */
  health: value<{ readonly port: number; readonly host?: string }>({
    type: "{ port, host }",
    doc: "Serves /healthz, /readyz and /metrics over HTTP, on 127.0.0.1 unless `host` says otherwise. Default: not at all.",
    check: isEndpoint,
  }),
  /** SIGTERM and SIGINT stop the worker; a second one forces it. Default: on for `run()`, off for `start()`. */
  signals: boolean({
    doc: "SIGTERM and SIGINT stop the worker; a second one forces it. Default: on for `run()`, off for `start()`.",
  }),
}

export type ParsedWorker = ReturnType<typeof parseWorker>

export type WorkerOptions = OptionsInput<typeof workerOptions>

/** What other systems call these, and where else to look. */
const hints = {
  worker_id: "id",
  concurrency: "Concurrency belongs to a queue: app.declareQueue({ name, concurrency }).",
  queues: "Queues belong to the app: new Millrace({ queues }).",
  heartbeat_poll_interval: "heartbeat",
  heartbeat_timeout: "lease",
  shutdown_timeout: "shutdownTimeout",
}

/** @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_DURATION. */
export function parseWorker(given: WorkerOptions) {
  const options = parseOptions("Worker", workerOptions, given, hints)
  const { lease, heartbeat } = options
  if (lease >= 2 * heartbeat) return options
  throw failure(
    "MILLRACE_BAD_OPTION",
    `Worker.lease (${lease} ms) must be at least two heartbeats (2 × ${heartbeat} ms), or one lost renewal loses all jobs.`,
  )
}

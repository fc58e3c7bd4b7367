import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import { context as contextOf, type Context } from "../client/context.ts"
import type { Millrace } from "../client/millrace.ts"
import { backoffDelay } from "../lib/backoff.ts"
import { monotonic } from "../lib/clock.ts"
import { deferred } from "../lib/deferred.ts"
import {
  boolean,
  duration,
  integer,
  list,
  parseOptions,
  text,
  value,
  type OptionsInput,
  type OptionsOutput,
} from "../lib/options.ts"
import { abortableSleep } from "../lib/signal.ts"
import type { Handler } from "../model/definition.ts"
import { failure, isMillraceError } from "../model/errors.ts"
import type { Executor } from "../model/executor.ts"
import { checkName } from "../model/name.ts"
import type { Plugin } from "../model/plugin.ts"
import { parseQueue, type QueueRecord } from "../model/queue.ts"
import { unblockHandled } from "../postgres/jobs.ts"
import { requireMigrated } from "../postgres/migrate.ts"
import { declareQueue, listQueues } from "../postgres/queues.ts"
import { verdict } from "../postgres/sqlstate.ts"
import type { Notice } from "../postgres/notify.ts"
import { announceQueues, registerWorker, removeWorker, type WorkerRow } from "../postgres/workers.ts"
import { registryOf, type Registry } from "./handlers.ts"
import { startHeartbeat, type Heartbeat } from "./heartbeat.ts"
import { joinHooks } from "./hooks.ts"
import { automaticTags, runsHere } from "./placement.ts"
import { QueueRunner, type Home } from "./queue-runner.ts"
import { reconcile } from "./reconcile.ts"
import { reportUndeclared, takeBackClaims, tendHistory } from "./sweep.ts"

const isObject = (given: unknown): string | undefined =>
  typeof given === "object" && given !== null ? undefined : "must be an object"

export const workerOptions = {
  /** Names this worker; unique among live ones. Default: a random UUID. */
  id: text({ doc: "Names this worker; unique among live ones. Default: a random UUID." }),
  /** Tags that queues are placed by, beside the automatic ones. */
  tags: list(text({ doc: "A tag." }), {
    default: [],
    doc: "Tags that queues are placed by, beside the automatic ones.",
  }),
  /** Handlers, made by `definition.handler(…)` or `definition.batch(…)`. */
  handlers: list(value<Handler>({ type: "handler", doc: "A handler." }), {
    default: [],
    doc: "Handlers, made by `definition.handler(…)` or `definition.batch(…)`.",
  }),
  /** Executors by name, beside `async`. */
  executors: value<Readonly<Record<string, Executor>>>({
    type: "object",
    default: {},
    doc: "Executors by name, beside `async`.",
    check: isObject,
  }),
  /** Hooks around jobs. */
  plugins: list(value<Plugin>({ type: "plugin", doc: "A plugin.", check: isObject }), {
    default: [],
    doc: "Hooks around jobs.",
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
  /** SIGTERM and SIGINT stop the worker; a second one forces it. Default: on for `run()`, off for `start()`. */
  signals: boolean({
    doc: "SIGTERM and SIGINT stop the worker; a second one forces it. Default: on for `run()`, off for `start()`.",
  }),
}

export type WorkerOptions = OptionsInput<typeof workerOptions>

const hints = {
  worker_id: "id",
  concurrency: "Concurrency belongs to a queue: app.declareQueue({ name, concurrency }).",
  queues: "Queues belong to the app: new Millrace({ queues }).",
  heartbeat_poll_interval: "heartbeat",
  heartbeat_timeout: "lease",
  shutdown_timeout: "shutdownTimeout",
}

type State = "new" | "starting" | "running" | "stopping" | "stopped"

const listenWithin = 2_000
const patience = { initial: 100, factor: 2, max: 5_000, jitter: "full" } as const

/** Claims the jobs of the queues whose tags match its own, and runs them. One process may hold several. */
export class Worker implements AsyncDisposable {
  readonly id: string
  readonly tags: readonly string[]
  readonly #context: Context
  readonly #options: OptionsOutput<typeof workerOptions>
  readonly #registry: Registry
  readonly #executors: ReadonlyMap<string, Executor>
  readonly #home: Home
  readonly #runners = new Map<string, QueueRunner>()
  /** Runners of queues that left, until their last job is settled. */
  readonly #leaving = new Set<QueueRunner>()
  readonly #reported = new Set<string>()
  readonly #stopped = deferred<boolean>()
  readonly #ending = new AbortController()
  #state: State = "new"
  #incarnation = ""
  #registering: Promise<void> | undefined
  #heartbeat: Heartbeat | undefined
  #timers: NodeJS.Timeout[] = []
  #reloading: Promise<void> | undefined
  #reloadAgain = false
  #reconcileTimer: NodeJS.Timeout | undefined
  #unsubscribe: (() => void) | undefined
  #stopping: Promise<boolean> | undefined
  #forced = new AbortController()
  #announced = ""

  /** @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_DURATION, MILLRACE_DUPLICATE_HANDLER, MILLRACE_BAD_NAME. */
  constructor(app: Millrace, given: WorkerOptions = {}, builtIn: Readonly<Record<string, Executor>> = {}) {
    const options = parseOptions("Worker", workerOptions, given, hints)
    if (options.lease < 2 * options.heartbeat) {
      throw failure(
        "MILLRACE_BAD_OPTION",
        `Worker.lease (${options.lease} ms) must be at least two heartbeats (2 × ${options.heartbeat} ms), or one lost renewal loses all jobs.`,
      )
    }
    this.#context = app[contextOf]
    this.#options = options
    this.id = checkName("Worker.id", options.id ?? randomUUID())
    this.tags = Object.freeze([...automaticTags(this.id), ...options.tags])
    this.#registry = registryOf(options.handlers)
    this.#executors = new Map(Object.entries({ ...builtIn, ...options.executors }))
    this.#home = this.#makeHome()
  }

  #makeHome(): Home {
    return {
      context: this.#context,
      hooks: joinHooks(this.#options.plugins, this.#context.log),
      grace: this.#options.grace,
      id: this.id,
      incarnation: () => this.#incarnation,
      handlerOf: (name) => this.#registry.get(name),
      leaseLost: (incarnation) => this.#leaseLost(incarnation),
      queueChanged: () => this.#reload(),
      repair: (error) => this.#repair(error),
      reconcileSoon: () => this.#reconcileIn(500),
    }
  }

  get state(): State {
    return this.#state
  }

  /** Jobs that run on this worker now. */
  get running(): number {
    return this.#allRunners().reduce((sum, runner) => sum + runner.running, 0)
  }

  /** Queues that run on this worker now. */
  get queues(): readonly string[] {
    return [...this.#runners.keys()]
  }

  /**
   * Starts the worker; resolves when it listens.
   *
   * @throws MILLRACE_NOT_CONNECTED when the database cannot be reached, MILLRACE_NOT_MIGRATED, MILLRACE_WORKER_ID_TAKEN,
   *   MILLRACE_NOT_STARTED when it was started before.
   */
  async start(): Promise<void> {
    if (this.#state !== "new")
      throw failure("MILLRACE_NOT_STARTED", "This worker was started before; make a new one to start again.")
    this.#state = "starting"
    try {
      await this.#prepare()
      await this.#register(true)
    } catch (error) {
      this.#state = "stopped"
      this.#ending.abort()
      this.#stopped.resolve(true)
      throw verdict(error) === "retry" && !isMillraceError(error) ? notConnected(error) : error
    }
    await this.#listen()
    await this.#loadQueues().catch((error: unknown) =>
      this.#context.log.warn("queues could not be read yet", { error: String(error) }),
    )
    this.#every(this.#options.queuePoll, () => this.#reload())
    this.#every(this.#options.heartbeat, () => this.#reconcileIn(0))
    this.#every(this.#options.sweep, () => this.#sweep())
    this.#every(3_600_000, () => this.#tend())
    void this.#sweep()
    if (this.#options.signals) this.#handleSignals()
    if (this.#state === "starting") this.#state = "running"
    this.#context.log.info(`worker ${this.id} started`, { queues: this.queues, handlers: this.#registry.size })
  }

  /** Starts the worker and lasts until it has stopped: by SIGTERM, SIGINT, or `stop()`. Resolves like `stop()`. */
  async run(): Promise<boolean> {
    await this.start()
    if (this.#options.signals !== false) this.#handleSignals()
    return this.#stopped.promise
  }

  /**
   * Stops in order: claims nothing more and hands back what has not started; lets jobs finish until `shutdownTimeout`;
   * fires their signals; hands back, uncharged, what goes on all the same; saves every outcome; leaves.
   *
   * @returns whether everything was saved (false: the database could not be reached in time).
   */
  stop(): Promise<boolean> {
    if (this.#state === "new") {
      this.#state = "stopped"
      this.#stopped.resolve(true)
    }
    if (this.#state === "stopped") return this.#stopped.promise
    return (this.#stopping ??= this.#shutDown())
  }

  /** Stops without waiting for jobs: their signals fire, and what does not end at once is handed back. */
  async forceStop(): Promise<boolean> {
    this.#forced.abort()
    return this.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  // ---- starting -----------------------------------------------------------------------------------------------------

  async #prepare(): Promise<void> {
    const { db, names } = this.#context
    await requireMigrated(db, names)
    const handled = [...this.#registry.values()].map((handler) => handler.definition.defaults.queue)
    const known = new Set(this.#context.queues.map((queue) => parseQueue(queue).name))
    for (const queue of this.#context.queues) await declareQueue(db, names, parseQueue(queue), false)
    for (const name of new Set(["default", ...handled]))
      if (!known.has(name)) await declareQueue(db, names, parseQueue(name), false)
    await tendHistory(this.#context, this.#retentions())
  }

  #retentions(): Set<number> {
    const all = [...this.#registry.values()].flatMap(
      ({ definition }) => Object.values(definition.defaults.retention ?? {}) as number[],
    )
    return new Set([86_400, ...all])
  }

  /**
   * Enters this worker under a new incarnation. A live worker with the same id may be the remains of one that was killed:
   * its lease is waited for, and only one that is renewed meanwhile is taken for alive.
   */
  async #register(first: boolean): Promise<void> {
    const { db, names } = this.#context
    let before: { left: number; at: number } | undefined
    for (;;) {
      const since = monotonic()
      const row = this.#row()
      const left = await registerWorker(db, names, row, this.#options.lease)
      if (left === undefined) return this.#entered(row.incarnation, since)
      if (before && left > before.left - (since - before.at) + 50 && first) throw idTaken(this.id)
      before ??= { left, at: since }
      if (left <= 0) await takeBackClaims(this.#context, this.#options.maxCrashes)
      if (!(await abortableSleep(Math.min(Math.max(left, 20), 250), this.#ending.signal))) return
    }
  }

  #row(): WorkerRow {
    return {
      incarnation: randomUUID(),
      id: this.id,
      hostname: hostname(),
      pid: process.pid,
      tags: this.tags,
      handlers: [...this.#registry.keys()],
    }
  }

  #entered(incarnation: string, since: number): void {
    this.#incarnation = incarnation
    this.#announced = ""
    const { db, names, log } = this.#context
    const { heartbeat: every, lease, hangTimeout: hang } = this.#options
    this.#heartbeat = startHeartbeat({
      db,
      names,
      log,
      incarnation,
      since,
      every,
      lease,
      hang,
      lost: () => this.#leaseLost(incarnation),
    })
    void this.#announce()
    for (const runner of this.#runners.values()) runner.wake()
  }

  /** Subscribes to notices, and finds out whether they arrive at all. */
  async #listen(): Promise<void> {
    const { notices, log } = this.#context
    this.#unsubscribe = notices.subscribe({
      notice: (notice) => this.#heard(notice),
      resync: () => {
        this.#reload()
        for (const runner of this.#runners.values()) runner.wake()
        this.#reconcileIn(0)
      },
    })
    if (notices.enabled && !(await notices.selfTest(listenWithin))) {
      log.warn(
        "notifications do not arrive here, so jobs are found by polling: latency is the queues' pollInterval. " +
          "A pooler in transaction mode accepts LISTEN and delivers nothing; give a direct connection as `dsn`, or set `notifications: false`.",
      )
    }
  }

  #heard(notice: Notice): void {
    switch (notice.kind) {
      case "ready":
        return this.#runners.get(notice.about)?.wake()
      case "later":
        return this.#runners.get(notice.about)?.wakeLater()
      case "queue":
        return this.#reload()
      case "cancel":
        for (const runner of this.#allRunners()) runner.cancel(notice.about, undefined)
        return
      default:
    }
  }

  // ---- while it runs ------------------------------------------------------------------------------------------------

  #every(ms: number, run: () => unknown): void {
    const again = () => {
      const timer = setTimeout(
        () => {
          this.#timers = this.#timers.filter((one) => one !== timer)
          if (this.#ending.signal.aborted) return
          run()
          again()
        },
        ms * (0.9 + Math.random() * 0.2),
      )
      this.#timers.push(timer)
    }
    again()
  }

  /** Reads the queues again; asked for while it reads, it reads once more. */
  #reload(): void {
    if (this.#state === "stopping" || this.#state === "stopped" || this.#state === "new") return
    if (this.#reloading) {
      this.#reloadAgain = true
      return
    }
    this.#reloading = this.#loadQueues()
      .catch((error: unknown) => this.#context.log.debug("queues could not be read", { error: String(error) }))
      .finally(() => {
        this.#reloading = undefined
        if (!this.#reloadAgain) return
        this.#reloadAgain = false
        this.#reload()
      })
  }

  async #loadQueues(): Promise<void> {
    const { db, names, log } = this.#context
    const queues = await listQueues(db, names)
    if (this.#ending.signal.aborted || this.#state === "stopping") return
    const here = new Map(queues.filter((queue) => runsHere(queue, this.tags)).map((queue) => [queue.name, queue]))
    for (const [name, runner] of this.#runners) if (!here.has(name)) this.#leave(runner)
    for (const queue of here.values()) this.#place(queue)
    if (here.size === 0)
      this.#once("no queue", () =>
        log.warn("no queue's tags match this worker's tags, so it runs nothing", { tags: this.tags }),
      )
    await this.#announce()
    for (const name of await unblockHandled(db, names, [...this.#registry.keys()]))
      this.#context.notices.send({ kind: "ready", about: name })
    for (const runner of this.#runners.values()) await runner.reviewExceptions()
  }

  #place(queue: QueueRecord): void {
    const executor = this.#executors.get(queue.executor)
    const runner = this.#runners.get(queue.name)
    if (!executor) {
      if (runner) this.#leave(runner)
      this.#once(`executor ${queue.name} ${queue.executor}`, () =>
        this.#context.log.warn(
          `queue "${queue.name}" wants the executor "${queue.executor}", which this worker does not have; it leaves the queue to others`,
          {
            code: "MILLRACE_NO_EXECUTOR",
            known: [...this.#executors.keys()],
          },
        ),
      )
      return
    }
    if (runner && runner.executor === executor) {
      const { revision, paused } = runner.queue
      if (revision !== queue.revision || paused !== queue.paused) runner.configure(queue)
      return
    }
    if (runner) this.#leave(runner)
    const fresh = new QueueRunner(this.#home, queue, executor)
    this.#runners.set(queue.name, fresh)
    fresh.start()
  }

  /** Its jobs finish undisturbed. */
  #leave(runner: QueueRunner): void {
    this.#runners.delete(runner.name)
    this.#leaving.add(runner)
    runner.stop()
    void runner.drained().then(() => this.#leaving.delete(runner))
  }

  #allRunners(): QueueRunner[] {
    return [...this.#runners.values(), ...this.#leaving]
  }

  #once(key: string, run: () => void): void {
    if (this.#reported.has(key)) return
    this.#reported.add(key)
    run()
  }

  /** Tells the world which queues run here. */
  async #announce(): Promise<void> {
    const queues = this.queues
    const text = queues.join(" ")
    if (text === this.#announced || this.#incarnation === "") return
    this.#announced = text
    const { db, names } = this.#context
    await announceQueues(db, names, this.#incarnation, queues).catch(() => {
      this.#announced = ""
    })
  }

  #reconcileIn(ms: number): void {
    if (this.#reconcileTimer || this.#ending.signal.aborted) return
    this.#reconcileTimer = setTimeout(() => {
      const worker = { incarnation: this.#incarnation, id: this.id }
      void reconcile(this.#context, worker, () => this.#allRunners())
        .catch((error: unknown) => this.#context.log.debug("claims could not be compared", { error: String(error) }))
        .finally(() => {
          this.#reconcileTimer = undefined
        })
    }, ms)
  }

  async #sweep(): Promise<void> {
    try {
      await takeBackClaims(this.#context, this.#options.maxCrashes)
      await reportUndeclared(this.#context, this.#reported)
    } catch (error) {
      this.#context.log.debug("the sweep did not finish", { error: String(error) })
    }
  }

  async #tend(): Promise<void> {
    await tendHistory(this.#context, this.#retentions()).catch((error: unknown) =>
      this.#context.log.warn("the history could not be tended", { error: String(error) }),
    )
  }

  /** A settlement found no partition: makes those for every retention that is in use. */
  async #repair(error: unknown): Promise<void> {
    if (verdict(error) !== "partition") return
    const { db, names } = this.#context
    const { rows } = await db.query<{ keep: number }>(
      `select distinct keep from ${names.of("jobs")} j, unnest(array[j.keep_s, j.keep_failed_s]) as keep where j.state = 'running'`,
    )
    await tendHistory(this.#context, [...this.#retentions(), ...rows.map((row) => row.keep)])
  }

  /** Aborts all that is held and registers anew. What is already done keeps being sent: its token decides. */
  #leaseLost(incarnation: string): void {
    if (incarnation !== this.#incarnation || this.#registering || this.#ending.signal.aborted) return
    const { log } = this.#context
    log.error(`worker ${this.id} has lost its lease; its jobs are aborted and it registers anew`)
    for (const runner of this.#allRunners()) runner.loseAll()
    this.#registering = this.#registerAnew().finally(() => {
      this.#registering = undefined
    })
  }

  async #registerAnew(): Promise<void> {
    await this.#heartbeat?.stop()
    for (let failures = 0; !this.#ending.signal.aborted; failures++) {
      try {
        return await this.#register(false)
      } catch (error) {
        this.#context.log.debug("could not register anew yet", { error: String(error) })
        await abortableSleep(backoffDelay(patience, failures + 1) + 20, this.#ending.signal)
      }
    }
  }

  // ---- stopping -----------------------------------------------------------------------------------------------------

  #handleSignals(): void {
    this.#once("signals", () => {
      const onSignal = () => void (this.#stopping ? this.forceStop() : this.stop())
      for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, onSignal)
      void this.#stopped.promise.then(() => {
        for (const signal of ["SIGTERM", "SIGINT"] as const) process.off(signal, onSignal)
      })
    })
  }

  async #shutDown(): Promise<boolean> {
    const { log } = this.#context
    this.#state = "stopping"
    this.#unsubscribe?.()
    for (const timer of this.#timers) clearTimeout(timer)
    // Cancels still reach the jobs that run.
    this.#unsubscribe = this.#context.notices.subscribe({
      notice: (notice) => void (notice.kind === "cancel" && this.#heard(notice)),
    })
    for (const runner of this.#allRunners()) runner.stop()
    const { shutdownTimeout, grace } = this.#options
    const stopping = failure("MILLRACE_SHUTDOWN", `Worker ${this.id} is stopping; the job is handed back.`)
    let saved = await this.#drainedWithin(shutdownTimeout, this.#forced.signal)
    if (!saved) {
      log.warn(`worker ${this.id}: firing the signals of jobs that still run`, { jobs: this.running })
      for (const runner of this.#allRunners()) runner.abort("shutdown", stopping)
      saved = await this.#drainedWithin(this.#forced.signal.aborted ? Math.min(grace, 1_000) : grace)
    }
    if (!saved) {
      for (const runner of this.#allRunners()) runner.handBack(stopping)
      saved = await this.#drainedWithin(Math.max(shutdownTimeout, 10_000))
    }
    return this.#leaveForGood(saved)
  }

  async #leaveForGood(saved: boolean): Promise<boolean> {
    const { db, names, log } = this.#context
    this.#ending.abort()
    clearTimeout(this.#reconcileTimer)
    this.#unsubscribe?.()
    await this.#registering
    await this.#heartbeat?.stop()
    // With something unsaved the row stays: when its lease is over, others take the jobs back.
    if (saved)
      await removeWorker(db, names, this.#incarnation).catch((error: unknown) =>
        log.debug("the worker's row could not be removed", { error: String(error) }),
      )
    else
      log.error(
        `worker ${this.id}: the database could not be reached, some outcomes are not saved; their jobs run again elsewhere`,
      )
    this.#state = "stopped"
    log.info(`worker ${this.id} stopped`)
    this.#stopped.resolve(saved)
    return saved
  }

  async #drainedWithin(ms: number, cut?: AbortSignal): Promise<boolean> {
    const waiting = new AbortController()
    const signal = cut ? AbortSignal.any([waiting.signal, cut]) : waiting.signal
    const drained = Promise.all(this.#allRunners().map((runner) => runner.drained())).then(() => true)
    const late = abortableSleep(ms, signal).then(() => false)
    const result = await Promise.race([drained, late])
    waiting.abort()
    return result
  }
}

const notConnected = (cause: unknown) =>
  failure(
    "MILLRACE_NOT_CONNECTED",
    `The database could not be reached: ${String((cause as Error).message)}. Check the connection string, and that the server is up.`,
    cause,
  )

const idTaken = (id: string) =>
  failure(
    "MILLRACE_WORKER_ID_TAKEN",
    `A live worker already has the id "${id}". Give each worker its own, or leave the id out for a random one.`,
  )

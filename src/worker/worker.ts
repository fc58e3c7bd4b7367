import { randomUUID } from "node:crypto"
import { context as contextOf, type Context } from "../client/context.ts"
import type { Millrace } from "../client/millrace.ts"
import { deferred } from "../lib/deferred.ts"
import { abortableSleep } from "../lib/signal.ts"
import { failure, isMillraceError } from "../model/errors.ts"
import type { Handler } from "../model/definition.ts"
import type { ExecutorEntry } from "../model/executor.ts"
import { registryOf, type Registry } from "../model/handlers.ts"
import { checkName } from "../model/name.ts"
import type { WorkerHealth, WorkerState } from "../model/health.ts"
import type { Plugin } from "../model/plugin.ts"
import { parseQueue } from "../model/queue.ts"
import { retentionsInUse, unblockHandled } from "../postgres/jobs.ts"
import { announceDefinitions } from "../postgres/definitions.ts"
import { ensurePartitions } from "../postgres/history.ts"
import { builtInTables, requireMigrated } from "../postgres/migrate.ts"
import { declareQueue } from "../postgres/queues.ts"
import { verdict } from "../postgres/sqlstate.ts"
import type { Notice } from "../postgres/notify.ts"
import { Cancels } from "./cancels.ts"
import { openEndpoint, type Endpoint } from "./endpoint.ts"
import { Executors } from "./executors.ts"
import { Followed } from "./followed.ts"
import { announcedBy } from "./handlers.ts"
import { healthOf } from "./health.ts"
import type { Home } from "./home.ts"
import { joinHooks } from "./hooks.ts"
import { JobEvents } from "./job-events.ts"
import { loadHandlers } from "./load-handlers.ts"
import { Membership } from "./membership.ts"
import { parseWorker, type ParsedWorker, type WorkerOptions } from "./options.ts"
import { automaticTags } from "./placement.ts"
import { QueueSet } from "./queue-set.ts"
import { reconcile } from "./reconcile.ts"
import { arrange, PluginSet } from "./plugin-set.ts"
import { Timers } from "./timers.ts"
import { reportUndeclared } from "./undeclared.ts"
import { Vitals } from "./vitals.ts"

const listenWithin = 2_000
const tendEvery = 3_600_000

/** What a worker is composed of, beside its options. */
export interface Parts {
  /** Executors by name. */
  readonly executors: Readonly<Record<string, ExecutorEntry>>
  /** Plugins that a worker has unless it says otherwise. */
  plugins(options: ParsedWorker): readonly Plugin[]
  /** Imports a module, also one in TypeScript. */
  load(url: string): Promise<object>
}

/** Claims the jobs of the queues whose tags match its own, and runs them. One process may hold several. */
export class Worker implements AsyncDisposable {
  /** Unique among live workers. */
  readonly id: string
  /** The automatic tags and its own. */
  readonly tags: readonly string[]
  readonly #context: Context
  readonly #options: ParsedWorker
  /** Handlers and modules of the worker and of its plugins. */
  readonly #sources: readonly (Handler | URL)[]
  readonly #load: Parts["load"]
  readonly #executors: Executors
  #registry: Registry
  readonly #membership: Membership
  readonly #queues: QueueSet
  readonly #plugins: PluginSet
  readonly #cancels: Cancels
  readonly #followed: Followed
  readonly #vitals: Vitals
  #endpoint: Endpoint | undefined
  readonly #timers = new Timers()
  readonly #undeclared = new Set<string>()
  readonly #stopped = deferred<boolean>()
  readonly #forced = new AbortController()
  #state: WorkerState = "new"
  #unsubscribe: (() => void) | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<boolean> | undefined
  #signalled = false

  /** @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_DURATION, MILLRACE_DUPLICATE_HANDLER, MILLRACE_BAD_NAME. */
  constructor(app: Millrace, given: WorkerOptions, parts: Parts) {
    const options = parseWorker(given)
    this.#context = app[contextOf]
    this.#options = options
    this.id = checkName("Worker.id", options.id ?? randomUUID())
    this.tags = Object.freeze([...automaticTags(this.id), ...options.tags])
    this.#load = parts.load
    const builtIn = options.defaultPlugins ? parts.plugins(options) : []
    const plugins = arrange(this.#context.plugins, options.plugins, builtIn)
    this.#sources = [...options.handlers, ...plugins.flatMap((plugin) => plugin.handlers ?? [])]
    this.#registry = registryOf(this.#sources.filter((source): source is Handler => !(source instanceof URL)))
    this.#membership = new Membership({
      ...options,
      context: this.#context,
      id: this.id,
      tags: this.tags,
      handlers: () => [...this.#registry.keys()],
      lost: () => this.#queues.all().forEach((runner) => runner.loseAll()),
      entered: () => this.#queues.active().forEach((runner) => runner.wake()),
    })
    this.#followed = new Followed(this.#context.notices)
    this.#vitals = new Vitals(this.#context, options.heartbeat)
    const executors = new Map(Object.entries({ ...parts.executors, ...options.executors }))
    this.#executors = new Executors(this.#context, executors, () => this.#registry.values())
    this.#queues = new QueueSet(this.#home(app, plugins), this.tags, this.#executors, () => this.#queuesLoaded())
    this.#cancels = new Cancels(this.#context, () => this.#queues.all())
    const queues = () => this.queues
    const self = {
      id: this.id,
      tags: this.tags,
      get queues() {
        return queues()
      },
      load: () => this.#queues.all().map((runner) => runner.load),
      health: () => this.health(),
    }
    this.#plugins = new PluginSet(plugins, { context: this.#context, client: app, worker: self })
  }

  #home(app: Millrace, plugins: readonly Plugin[]): Home {
    const { log } = this.#context
    return {
      context: this.#context,
      app,
      hooks: joinHooks(plugins, log, this.id),
      events: new JobEvents(this.#context.hub, this.id, this.#options.jobEvents === "cluster"),
      followed: this.#followed,
      clock: this.#vitals.clock,
      grace: this.#options.grace,
      identity: () => ({ incarnation: this.#membership.incarnation, id: this.id }),
      handlerOf: (name) => this.#registry.get(name),
      leaseLost: (incarnation) => this.#membership.lose(incarnation),
      queueChanged: () => void this.#queues.reload(),
      repair: (error) => this.#repair(error),
      reconcileSoon: () => this.#timers.once("reconcile", 500, () => this.#reconcile()),
    }
  }

  get state(): WorkerState {
    return this.#state
  }

  /** Jobs that run on this worker now. */
  get running(): number {
    return this.#queues.all().reduce((sum, runner) => sum + runner.running, 0)
  }

  /** Queues that run on this worker now. */
  get queues(): readonly string[] {
    return this.#queues.names
  }

  /** Whether this worker leads. */
  get leads(): boolean {
    return this.#plugins.leader.leads
  }

  /** How it is: what a health check wants to know. */
  health(): WorkerHealth {
    const { notices } = this.#context
    return healthOf({
      state: this.#state,
      worker: this.id,
      leads: this.leads,
      running: this.running,
      queues: this.queues,
      notifications: !notices.enabled ? "off" : notices.arrive ? "arriving" : "missing",
      listener: !notices.enabled ? "off" : notices.listens ? "listening" : "lost",
      heartbeat: this.#membership.lease,
      database: this.#vitals.database,
      loop: { blocked: this.#vitals.blocked },
      clockDifference: this.#vitals.clockDifference,
      plugins: this.#plugins.health,
    })
  }

  /** Where the endpoint of the option `health` listens; undefined without one. */
  get healthPort(): number | undefined {
    return this.#endpoint?.port
  }

  /**
   * A plugin of this worker, for its own functions, and what it works with here.
   *
   * @throws MILLRACE_UNKNOWN_PLUGIN.
   */
  plugin<P extends Plugin = Plugin>(name: string): P {
    return this.#plugins.find(name) as P
  }

  /** Answers a request for a plugin's route; undefined: no plugin has it. Permissions are the caller's to check. */
  route(request: Request): Promise<Response> | undefined {
    return this.#plugins.route(request)
  }

  /** Resolves when the worker has stopped, like `stop()`, without stopping it. */
  get stopped(): Promise<boolean> {
    return this.#stopped.promise
  }

  /**
   * Starts the worker; resolves when it listens.
   *
   * @throws MILLRACE_NOT_CONNECTED when the database cannot be reached, MILLRACE_NOT_MIGRATED, MILLRACE_WORKER_ID_TAKEN,
   *   MILLRACE_BAD_MODULE when a module of handlers cannot be loaded, MILLRACE_LIMIT_REFUSED and others when a queue of
   *   the app asks for what its executor here cannot do, MILLRACE_NOT_STARTED when it was started before.
   */
  async start(): Promise<void> {
    if (this.#state !== "new") {
      throw failure("MILLRACE_NOT_STARTED", "This worker was started before; make a new one to start again.")
    }
    this.#state = "starting"
    if (this.#options.signals) this.#handleSignals()
    await (this.#starting = this.#begin())
  }

  async #begin(): Promise<void> {
    try {
      this.#vitals.start()
      if (this.#options.health) this.#endpoint = await openEndpoint(this.#options.health, this)
      await this.#prepare()
      await this.#membership.enter()
    } catch (error) {
      this.#state = "stopped"
      this.#vitals.stop()
      await this.#endpoint?.close()
      this.#stopped.resolve(true)
      throw verdict(error) === "retry" && !isMillraceError(error) ? notConnected(error) : error
    }
    await this.#listen()
    await this.#queues.reload()
    await this.#queues.opened()
    this.#schedule()
    if (this.#state === "starting") this.#state = "running"
    this.#plugins.start()
    this.#context.hub.emit("worker.started", { worker: this.id, queues: this.queues }, { cluster: true })
    this.#context.log.info(`worker ${this.id} started`, { queues: this.queues, handlers: this.#registry.size })
  }

  /** Starts the worker and lasts until it has stopped: by SIGTERM, SIGINT, or `stop()`. Resolves like `stop()`. */
  async run(): Promise<boolean> {
    if (this.#options.signals !== false && this.#state === "new") this.#handleSignals()
    await this.start().catch((error: unknown) => {
      // Told to stop while it started: that is no failure.
      if (!isMillraceError(error, "MILLRACE_SHUTDOWN")) throw error
    })
    return this.#stopped.promise
  }

  /** Declares the queues that are named (those that exist stay as they are), and makes room in the history. */
  async #prepare(): Promise<void> {
    const { db, names, queues } = this.#context
    await requireMigrated(db, names)
    for (const { name, migrations } of this.#context.plugins) {
      if (migrations) await requireMigrated(db, names, name, migrations.length)
    }
    for (const { name } of this.#plugins.plugins) {
      const tables = builtInTables[name]
      if (tables) await requireMigrated(db, names, name, tables.length)
    }
    await this.#vitals.look()
    this.#registry = registryOf(await loadHandlers(this.#sources, this.#load))
    const listed = queues.map((queue) => parseQueue(queue))
    const handled = [...this.#registry.values()].map((handler) => handler.definition.defaults.queue)
    const named = ["default", ...handled].filter((name) => !listed.some((queue) => queue.name === name))
    for (const queue of [...listed, ...[...new Set(named)].map((name) => parseQueue(name))]) {
      if (this.#executors.knows(queue.executor)) this.#executors.open(queue)
      await declareQueue(db, names, queue, false)
    }
    await ensurePartitions(db, names, this.#retentions())
    await announceDefinitions(db, names, this.id, announcedBy(this.#registry))
  }

  #retentions(): number[] {
    const declared = [...this.#registry.values()].flatMap(({ definition }) => {
      const { retention } = definition.defaults
      return retention ? [retention.succeeded, retention.failed] : []
    })
    return [86_400, ...declared]
  }

  /** Subscribes to notices, and finds out whether they arrive at all. */
  async #listen(): Promise<void> {
    const { notices, log } = this.#context
    this.#unsubscribe = notices.subscribe({ notice: (notice) => this.#heard(notice), resync: () => this.#resync() })
    if (!notices.enabled || (await notices.arriveWithin(listenWithin))) return
    log.warn(
      "notifications do not arrive here, so jobs are found by polling: latency is the queues' pollInterval. A pooler in " +
        "transaction mode accepts LISTEN and delivers nothing; give a direct connection as `dsn`, or set `notifications: false`.",
    )
  }

  #heard({ kind, about }: Notice): void {
    if (kind === "ready") this.#queues.get(about)?.wake()
    else if (kind === "later") this.#queues.get(about)?.wakeLater()
    else if (kind === "queue") void this.#queues.reload()
    else if (kind === "follow") this.#followed.heard(about)
    else if (kind === "cancel") this.#cancels.heard(about)
  }

  /** Notices may have been missed. */
  #resync(): void {
    void this.#queues.reload()
    for (const runner of this.#queues.active()) runner.wake()
    this.#timers.once("reconcile", 0, () => this.#reconcile())
  }

  #schedule(): void {
    const { queuePoll, heartbeat, sweep } = this.#options
    this.#timers.every(queuePoll, () => this.#queues.reload())
    this.#timers.every(heartbeat, () => this.#reconcile())
    this.#timers.every(heartbeat, () => this.#vitals.look())
    this.#timers.every(sweep, () => this.#sweep())
    this.#timers.every(tendEvery, () => this.#tend())
    this.#timers.once("sweep", 0, () => this.#sweep())
    this.#timers.once("tend", 1_000, () => this.#tend())
  }

  /** After the queues' rows were read. */
  async #queuesLoaded(): Promise<void> {
    const { db, names, notices } = this.#context
    if (await this.#membership.announce(this.queues))
      this.#context.hub.emit("worker.announced", { worker: this.id, queues: this.queues }, { cluster: true })
    for (const about of await unblockHandled(db, names, [...this.#registry.keys()]))
      notices.send({ kind: "ready", about })
    for (const runner of this.#queues.active()) await runner.review()
  }

  async #reconcile(): Promise<void> {
    const worker = { incarnation: this.#membership.incarnation, id: this.id }
    await this.#quietly("claims could not be compared", () =>
      reconcile(this.#context, worker, () => this.#queues.all()),
    )
  }

  async #sweep(): Promise<void> {
    await this.#quietly("undeclared queues could not be looked for", () =>
      reportUndeclared(this.#context, this.#undeclared),
    )
  }

  async #tend(): Promise<void> {
    await this.#quietly("the history could not be tended", () =>
      ensurePartitions(this.#context.db, this.#context.names, this.#retentions()),
    )
  }

  /** Background work: what fails now is done at its next time. */
  async #quietly(what: string, run: () => Promise<unknown>): Promise<void> {
    await run().catch((error: unknown) => this.#context.log.debug(what, { error: String(error) }))
  }

  /** A settlement found no partition: makes those for every retention in use. */
  async #repair(error: unknown): Promise<void> {
    if (verdict(error) !== "partition") return
    const { db, names } = this.#context
    await ensurePartitions(db, names, [...this.#retentions(), ...(await retentionsInUse(db, names))])
  }

  // ---- stopping -----------------------------------------------------------------------------------------------------

  #handleSignals(): void {
    if (this.#signalled) return
    this.#signalled = true
    const onSignal = () => void (this.#stopping ? this.forceStop() : this.stop())
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, onSignal)
    void this.#stopped.promise.then(() => {
      for (const signal of ["SIGTERM", "SIGINT"] as const) process.off(signal, onSignal)
    })
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
    if (this.#state === "starting") {
      this.#membership.giveUp()
      this.#queues.stop()
    }
    return (this.#stopping ??= this.#shutDown())
  }

  /** Stops without waiting for jobs: their signals fire, and what does not end at once is handed back. */
  forceStop(): Promise<boolean> {
    this.#forced.abort()
    return this.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #shutDown(): Promise<boolean> {
    if (this.#state === "starting") await this.#starting?.catch(() => {})
    if (this.#state === "stopped") return this.#stopped.promise // it never came to start
    this.#state = "stopping"
    this.#timers.stop()
    this.#queues.stop()
    const { shutdownTimeout, grace } = this.#options
    const plugins = this.#plugins.stop(Math.max(grace, 1_000))
    const saved =
      (await this.#drained(shutdownTimeout, this.#forced.signal)) ||
      (await this.#abort(this.#forced.signal.aborted ? Math.min(grace, 1_000) : grace)) ||
      (await this.#handBack(Math.max(shutdownTimeout, 10_000)))
    this.#unsubscribe?.()
    await this.#queues.close()
    await plugins
    if (saved) await this.#plugins.drained(1_000)
    await this.#membership.leave(saved)
    this.#vitals.stop()
    await this.#endpoint?.close()
    const { log, hub } = this.#context
    if (!saved) {
      for (const runner of this.#queues.all()) runner.abandon()
      log.error(
        `worker ${this.id}: the database could not be reached; unsaved jobs run again elsewhere once its lease is over`,
      )
    }
    this.#state = "stopped"
    hub.emit("worker.stopped", { worker: this.id, saved }, { cluster: true })
    log.info(`worker ${this.id} stopped`)
    this.#stopped.resolve(saved)
    return saved
  }

  /** Fires the signals, and gives handlers the grace period. */
  #abort(ms: number): Promise<boolean> {
    this.#context.hub.emit("worker.shutdown.timeout", { worker: this.id, jobs: this.running })
    this.#context.log.warn(`worker ${this.id}: firing the signals of jobs that still run`, { jobs: this.running })
    for (const runner of this.#queues.all()) runner.abort("shutdown", stopping(this.id))
    return this.#drained(ms)
  }

  #handBack(ms: number): Promise<boolean> {
    for (const runner of this.#queues.all()) runner.handBack(stopping(this.id))
    return this.#drained(ms)
  }

  async #drained(ms: number, cut?: AbortSignal): Promise<boolean> {
    const done = new AbortController()
    const late = abortableSleep(ms, cut ? AbortSignal.any([done.signal, cut]) : done.signal).then(() => false)
    const result = await Promise.race([this.#queues.drained().then(() => true), late])
    done.abort()
    return result
  }
}

const stopping = (id: string) => failure("MILLRACE_SHUTDOWN", `Worker ${id} is stopping; the job is handed back.`)

const notConnected = (cause: unknown) =>
  failure(
    "MILLRACE_NOT_CONNECTED",
    `The database could not be reached: ${String((cause as Error).message)}. Check the connection string, and that the server is up.`,
    cause,
  )

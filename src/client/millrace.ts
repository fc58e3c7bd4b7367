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
import { isUuid } from "../lib/uuid.ts"
import type { CallerTransaction, Database } from "../model/database.ts"
import type { AnyDefinition, Pushable } from "../model/definition.ts"
import { failure } from "../model/errors.ts"
import { didYouMean } from "../lib/nearest.ts"
import type { Hub } from "../model/hub.ts"
import { checkPlugins, type Plugin } from "../model/plugin.ts"
import type { Explanation } from "../model/explanation.ts"
import type { AppRecipe } from "../model/executor.ts"
import type { JobFilter } from "../model/filter.ts"
import type { JobRecord, NewJob } from "../model/job.ts"
import type { PushArguments } from "../model/job-app.ts"
import { parseMoment, type PushOptions } from "../model/job-options.ts"
import { consoleLogger, guarded as guardedLogger, silent, type Logger } from "../model/log.ts"
import { declareOptions, parseQueue, unknownQueue, type QueueOptions, type QueueRecord } from "../model/queue.ts"
import { pathOf } from "../model/rule-field.ts"
import type { Rule } from "../model/rule.ts"
import { finalStates, unfinishedStates, type JobState } from "../model/state.ts"
import { fromDsn, fromPool, fromTransaction, isPgPool, type PgPool } from "../postgres/adapters/pg.ts"
import { ensurePartitions } from "../postgres/history.ts"
import { declarePathIndex, dropPathIndex, pathIndexes, type JsonPath } from "../postgres/path-indexes.ts"
import { builtInTables, coreVersion, currentVersion, migrate, type MigrateOptions } from "../postgres/migrate.ts"
import { declareQueue, deleteQueue, findQueue, listQueues, pauseQueue, resumeQueue } from "../postgres/queues.ts"
import { resumeKey, stoppedKeys, type StoppedKey } from "../postgres/limits.ts"
import { explained } from "../postgres/missing.ts"
import { names } from "../postgres/sql.ts"
import { sqlState, unreachable } from "../postgres/sqlstate.ts"
import { appContext, attachAll } from "./app-context.ts"
import { context, type Context } from "./context.ts"
import { cancelAll, deleteAll, retryAll, updateAll } from "./bulk-actions.ts"
import type { BulkOptions, BulkReport } from "./bulk.ts"
import { EventHub } from "./hub.ts"
import { explain } from "./explain.ts"
import { find, findAll, type FindOptions, type Page } from "./find.ts"
import { prepare, wrapPush, wrapsPushes } from "./pushing.ts"
import { Notices } from "./notices.ts"
import { stats, workers, type Stats, type WorkerRecord } from "./overview.ts"
import { pushByName, type PushByNameOptions } from "./push-by-name.ts"
import { insert, isKeyBusy, keyBusy, maxRows, noticesOf, Pusher, type Placed } from "./pusher.ts"
import { Reference } from "./reference.ts"
import type { UpdateOptions } from "./update.ts"
import { Waiter } from "./waiter.ts"

const isLogger = (given: unknown): string | undefined =>
  given === false ||
  (typeof given === "object" && given !== null && ["debug", "info", "warn", "error"].every((level) => level in given))
    ? undefined
    : "must be an object with debug, info, warn and error, or false"

export const millraceOptions = {
  /** Connection string of the database. */
  dsn: text({ doc: "Connection string of the database." }),
  /** Your own `pg` pool, instead of `dsn`. It stays yours to end. */
  pool: value<PgPool>({
    type: "pg.Pool",
    doc: "Your own `pg` pool, instead of `dsn`. It stays yours to end.",
    check: (given) => (isPgPool(given) ? undefined : "must be a pg.Pool"),
  }),
  /** Schema that holds the tables: installations in different schemas never meet. */
  schema: text({
    default: "millrace",
    doc: "Schema that holds the tables: installations in different schemas never meet.",
  }),
  /** Name of this instance, in logs. */
  name: text({ default: "millrace", doc: "Name of this instance, in logs." }),
  /** Queues that workers declare at start; those that exist stay as they are. */
  queues: list(value<QueueOptions>({ type: "queue", doc: "A queue." }), {
    default: [],
    doc: "Queues that workers declare at start; those that exist stay as they are.",
  }),
  /** LISTEN and NOTIFY. Off, everything works by polling. */
  notifications: boolean({ default: true, doc: "LISTEN and NOTIFY. Off, everything works by polling." }),
  /** `{ debug, info, warn, error }`, or `false` for none. Default: info and above to the console. */
  logger: value<Logger | false>({
    type: "logger | false",
    doc: "`{ debug, info, warn, error }`, or `false` for none. Default: info and above to the console.",
    check: isLogger,
  }),
  /** Plugins of every worker of this app. Those with tables belong here: `migrate()` makes them. */
  plugins: list(value<Plugin>({ type: "plugin", doc: "A plugin." }), {
    default: [],
    doc: "Plugins of every worker of this app. Those with tables belong here: `migrate()` makes them.",
  }),
  /** Largest payload, in bytes of JSON. */
  maxPayload: integer({ default: 262_144, min: 1, max: 100_000_000, doc: "Largest payload, in bytes of JSON." }),
  /** Most connections of our own pool. */
  maxConnections: integer({ default: 10, min: 2, max: 1_000, doc: "Most connections of our own pool." }),
  /** A statement that takes longer has failed. */
  queryTimeout: duration({ default: "30s", min: 100, doc: "A statement that takes longer has failed." }),
  /** How long a push keeps trying while the database cannot be reached. */
  pushTimeout: duration({
    default: "30s",
    min: 1,
    doc: "How long a push keeps trying while the database cannot be reached.",
  }),
}

export type MillraceOptions = OptionsInput<typeof millraceOptions>

const migrateOptions = {
  /** Version to go to. Default the newest; 0 removes everything. */
  to: integer({ doc: "Version to go to. Default the newest; 0 removes everything." }),
}

const pauseOptions = {
  /** When it resumes by itself: a Date, or `"in 10m"`. Default never. */
  until: value<Date | string>({
    type: "Date | text",
    doc: 'When it resumes by itself: a Date, or `"in 10m"`. Default never.',
  }),
}

const deleteOptions = {
  /** Its jobs go as well, but for those that run. */
  jobs: boolean({ default: false, doc: "Its jobs go as well, but for those that run." }),
}

const hints = { connectionString: "dsn", url: "dsn", prefix: "schema", log: "logger", max_pool_size: "maxConnections" }

const waitOptions = {
  /** States to wait for. Default: the final ones. */
  states: list(value<JobState>({ type: "state", doc: "A state.", check: isState }), {
    min: 1,
    doc: "States to wait for. Default: the final ones.",
  }),
  /** How long to wait. Default for ever. */
  timeout: duration({ doc: "How long to wait. Default for ever." }),
}

function isState(given: unknown): string | undefined {
  return [...unfinishedStates, ...finalStates].includes(given as JobState) ? undefined : "is not a job state"
}

type QueueEvent = "queue.declared" | "queue.changed" | "queue.paused" | "queue.resumed" | "queue.removed"

/** A place inside payloads or meta: keys with dots, or a list of keys. */
export type IndexedPath =
  { readonly payload: string | readonly string[] } | { readonly meta: string | readonly string[] }

function placeOf(given: IndexedPath): JsonPath {
  const [field, ...more] = Object.keys(given ?? {})
  if ((field !== "payload" && field !== "meta") || more.length > 0) {
    throw failure("MILLRACE_BAD_OPTION", 'An index is declared as { payload: "customer.id" } or { meta: "tenant" }.')
  }
  return { field, path: pathOf(field, (given as Record<string, string>)[field]!) }
}

/** The application's side of Millrace: push jobs, find them, wait for them, manage queues. Runs nothing by itself. */
export class Millrace implements AsyncDisposable {
  /** @internal */
  readonly [context]: Context
  #closed: Promise<void> | undefined
  #ended = false

  /** @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_SCHEMA. */
  constructor(given: MillraceOptions) {
    const options = parseOptions("Millrace", millraceOptions, given, hints)
    const db = guarded(databaseOf(options), () => this.#ended)
    const all = names(options.schema)
    const log = options.logger === false ? silent : guardedLogger(options.logger ?? consoleLogger(options.name))
    const notices = new Notices(db, all, log, options.notifications)
    for (const queue of options.queues) parseQueue(queue)
    checkPlugins(options.plugins)
    this[context] = {
      db,
      names: all,
      log,
      notices,
      hub: new EventHub(notices, log),
      plugins: options.plugins,
      pusher: new Pusher(db, all, notices, options.pushTimeout),
      waiter: new Waiter(db, all, notices),
      queues: options.queues,
      recipe: recipeOf(options),
      maxPayload: options.maxPayload,
    }
    attachAll(options.plugins, appContext(this[context], this))
  }

  /** Events of this process, and of the others where they are told to the whole cluster. */
  get hub(): Hub {
    return this[context].hub
  }

  /**
   * A plugin of this app, for its own functions: `app.plugin("cron")`.
   *
   * @throws MILLRACE_UNKNOWN_PLUGIN.
   */
  plugin<P extends Plugin = Plugin>(name: string): P {
    const { plugins } = this[context]
    const found = plugins.find((plugin) => plugin.name === name)
    if (found) return found as P
    const names = plugins.map((plugin) => plugin.name)
    throw failure(
      "MILLRACE_UNKNOWN_PLUGIN",
      `This app has no plugin "${name}".${didYouMean(name, names)} Add it: new Millrace({ plugins: […] }).`,
    )
  }

  /** Creates or upgrades the tables, those of the plugins too (`to: 0` removes them). Safe to call from many processes at once. */
  async migrate(given?: MigrateOptions): Promise<{ from: number; to: number }> {
    const { db, names: all } = this.#open()
    const { to } = parseOptions("migrate", migrateOptions, given)
    const options = to === undefined ? {} : { to }
    const versions = await migrate(db, all, options)
    if (versions.to > 0) await ensurePartitions(db, all, [86_400])
    if (to === undefined) {
      for (const [name, steps] of Object.entries(builtInTables)) await migrate(db, all, {}, name, steps)
      for (const { name, migrations } of this[context].plugins) {
        if (migrations) await migrate(db, all, {}, name, migrations)
      }
    }
    return versions
  }

  /** The version of the tables, and the one that this release needs. */
  async schemaVersion(): Promise<{ current: number; needed: number }> {
    const { db, names: all } = this.#open()
    return { current: await currentVersion(db, all), needed: coreVersion }
  }

  /**
   * Pushes a job. Resolves when it is committed (with `tx`: when it is part of your transaction).
   *
   * @throws MILLRACE_BAD_PAYLOAD, MILLRACE_BAD_JSON, MILLRACE_PAYLOAD_TOO_LARGE, MILLRACE_BAD_OPTION,
   *   MILLRACE_PUSH_UNKNOWN when the database did not confirm it in time, MILLRACE_KEY_BUSY.
   */
  async push<Input, Result>(
    definition: Pushable<Input, Result>,
    ...[payload, options]: PushArguments<NoInfer<Input>, PushOptions>
  ): Promise<Reference<Result>> {
    if (!wrapsPushes(this[context])) return this.#pushOne(definition, payload, options)
    const push = async () => [await this.#pushOne<Result>(definition, payload, options)]
    return (await wrapPush(this[context], { definition, options, many: false }, push))[0]!
  }

  async #pushOne<Result>(
    definition: AnyDefinition,
    payload: unknown,
    options: PushOptions | undefined,
  ): Promise<Reference<Result>> {
    const { pusher } = this.#open()
    const made = prepare(this[context], definition, options)(payload)
    const job = made instanceof Promise ? await made : made
    if (options?.tx) return (await this.#pushIn<Result>(options.tx, [job], options))[0]!
    const placed = await pusher.push(job, options?.id !== undefined, options?.wake !== false)
    this.#pushed(placed.queue, 1)
    return this.#reference(placed)
  }

  /**
   * Pushes one job per payload, from an array or any (async) iterable: one statement per 1,000, each whole or not at all,
   * with the same options for all.
   *
   * @throws what `push` throws; statements before the one that failed are committed.
   */
  async pushMany<Input, Result>(
    definition: Pushable<Input, Result>,
    payloads: Iterable<NoInfer<Input>> | AsyncIterable<NoInfer<Input>>,
    options?: Omit<PushOptions, "id">,
  ): Promise<Reference<Result>[]> {
    if (options && "id" in options)
      throw failure("MILLRACE_BAD_OPTION", "pushMany: an id belongs to one job; push it by itself.")
    if (
      typeof payloads !== "object" ||
      payloads === null ||
      !(Symbol.iterator in payloads || Symbol.asyncIterator in payloads)
    ) {
      throw failure(
        "MILLRACE_BAD_OPTION",
        "pushMany: the payloads must be an array or another (async) iterable, one entry per job.",
      )
    }
    const push = () => this.#pushAll<Result>(definition, payloads, options)
    return wrapsPushes(this[context]) ? wrapPush(this[context], { definition, options, many: true }, push) : push()
  }

  async #pushAll<Result>(
    definition: AnyDefinition,
    payloads: Iterable<unknown> | AsyncIterable<unknown>,
    options: PushOptions | undefined,
  ): Promise<Reference<Result>[]> {
    const references: Reference<Result>[] = []
    let chunk: NewJob[] = []
    const flush = async () => {
      if (chunk.length === 0) return
      const jobs = chunk
      chunk = []
      references.push(...(await this.#pushChunk<Result>(jobs, options)))
    }
    const add = prepare(this[context], definition, options)
    // Arrays and other plain iterables are not awaited item by item: that would cost more than the insert.
    if (Symbol.iterator in payloads) {
      for (const payload of payloads) {
        const job = add(payload)
        if (chunk.push(job instanceof Promise ? await job : job) === maxRows) await flush()
      }
    } else {
      for await (const payload of payloads) if (chunk.push(await add(payload)) === maxRows) await flush()
    }
    await flush()
    return references
  }

  /**
   * Pushes a job by its name alone, with the defaults that workers have announced for it, for tools that do not have its
   * definition. No schema checks the payload; the worker's does, before it runs.
   *
   * @throws MILLRACE_BAD_OPTION, MILLRACE_BAD_JSON, MILLRACE_PAYLOAD_TOO_LARGE.
   */
  async pushByName(name: string, payload?: unknown, options?: PushByNameOptions): Promise<Reference> {
    const { id, duplicate } = await pushByName(this.#open(), name, payload, options)
    return new Reference(this[context], id, undefined, duplicate)
  }

  async #pushChunk<Result>(jobs: NewJob[], options: Omit<PushOptions, "id"> | undefined): Promise<Reference<Result>[]> {
    if (options?.tx) return this.#pushIn<Result>(options.tx, jobs, options)
    const placed = await this.#open().pusher.pushAll(jobs, options?.wake !== false)
    this.#pushed(placed[0]!.queue, placed.length)
    return placed.map((one) => this.#reference<Result>(one))
  }

  /** Inside the caller's transaction; the wake-up goes with it, and is delivered when it commits. */
  async #pushIn<Result>(
    given: CallerTransaction,
    jobs: readonly NewJob[],
    options: PushOptions,
  ): Promise<Reference<Result>[]> {
    const { names: all, notices } = this.#open()
    const tx = fromTransaction(given)
    const placed = await insert(tx, all, jobs, options.id !== undefined).catch((error: unknown) => {
      throw isKeyBusy(error) ? keyBusy(jobs[0]!, error) : error
    })
    if (options.wake !== false) await notices.sendIn(tx, noticesOf(jobs))
    return placed.map((one) => this.#reference<Result>(one))
  }

  #pushed(queue: string, jobs: number): void {
    const { hub } = this[context]
    if (hub.hears("queue.pushed")) hub.emit("queue.pushed", { queue, jobs })
  }

  #reference<Result>({ id, queue, duplicate }: Placed): Reference<Result> {
    return new Reference<Result>(this[context], id, queue, duplicate)
  }

  /**
   * A handle on a job by its id.
   *
   * @throws MILLRACE_BAD_ID when it is not a UUID.
   */
  job<Result = unknown>(id: string): Reference<Result> {
    if (!isUuid(id)) throw failure("MILLRACE_BAD_ID", `A job's id is a UUID, not ${JSON.stringify(id) ?? typeof id}.`)
    return new Reference<Result>(this[context], id.toLowerCase())
  }

  /**
   * Waits until each job is in one of the states, or in a final one, and returns them in the same order.
   *
   * @throws MILLRACE_TIMEOUT, MILLRACE_UNKNOWN_JOB, MILLRACE_NO_RESULT.
   */
  async wait(references: Iterable<Reference>, given?: OptionsInput<typeof waitOptions>): Promise<JobRecord[]> {
    const { waiter } = this.#open()
    const options = parseOptions("wait", waitOptions, given)
    const deadline = options.timeout === undefined ? Infinity : performance.now() + options.timeout
    return Promise.all(
      Array.from(references, ({ id }) => waiter.wait({ id, states: options.states ?? finalStates, deadline })),
    )
  }

  /** Declares a queue; one that exists stays as it is unless `upsert`. Returns it as stored. */
  async declareQueue(queue: QueueOptions | string, given?: OptionsInput<typeof declareOptions>): Promise<QueueRecord> {
    const { db, names: all } = this.#open()
    const { upsert } = parseOptions("declareQueue", declareOptions, given)
    const parsed = parseQueue(queue)
    const stored = await declareQueue(db, all, parsed, upsert)
    this.#queueChanged(parsed.name, stored.revision > 1 ? "queue.changed" : "queue.declared")
    return stored
  }

  async queues(): Promise<QueueRecord[]> {
    const { db, names: all } = this.#open()
    return listQueues(db, all)
  }

  /**
   * Jobs that a filter or a rule means, unfinished and finished, newest first, a page at a time.
   *
   * @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_RULE, MILLRACE_BAD_CURSOR, MILLRACE_NOT_INDEXED
   *   for a search through payloads that no index serves, MILLRACE_QUERY_TIMEOUT after 10 s.
   */
  async find(filter?: JobFilter | Rule, options?: FindOptions): Promise<Page> {
    return find(this.#open(), filter, options)
  }

  /** All of them, page by page: `for await (const job of app.findAll({ state: "failed" }))`. Throws what `find` throws. */
  findAll(filter?: JobFilter | Rule): AsyncGenerator<JobRecord> {
    return findAll(this.#open(), filter)
  }

  /**
   * Runs every job again that the filter means: finished ones come back with their attempts counted anew, waiting ones
   * become ready now. Those that run, and those whose unique key is taken, are refused, each with its reason.
   *
   * @throws what `find` throws.
   */
  async retryAll(filter: JobFilter | Rule, options?: BulkOptions): Promise<BulkReport> {
    return retryAll(this.#open(), filter, options)
  }

  /**
   * Cancels every job that the filter means: waiting ones at once, running ones by firing their signals (counted in
   * `requested` as well). Finished ones are refused.
   *
   * @throws what `find` throws.
   */
  async cancelAll(
    filter: JobFilter | Rule,
    options?: BulkOptions & { readonly reason?: string },
  ): Promise<BulkReport & { readonly requested: number }> {
    const { reason, ...bulk } = options ?? {}
    return cancelAll(this.#open(), filter, reason, bulk)
  }

  /** Deletes every job that the filter means, finished or waiting, for good. Running ones are refused. Throws what `find` throws. */
  async deleteAll(filter: JobFilter | Rule, options?: BulkOptions): Promise<BulkReport> {
    return deleteAll(this.#open(), filter, options)
  }

  /** Changes every job that the filter means and that has not started. The others are refused. Throws what `find` throws. */
  async updateAll(filter: JobFilter | Rule, changes: UpdateOptions, options?: BulkOptions): Promise<BulkReport> {
    return updateAll(this.#open(), filter, changes, options)
  }

  /**
   * Lets `find` look for values at a path inside payloads (or meta): builds an index, while everything goes on. Calling
   * it again is harmless.
   *
   * @throws MILLRACE_BAD_RULE for a bad path.
   */
  async declareIndex(place: IndexedPath): Promise<void> {
    const { db, names: all } = this.#open()
    await declarePathIndex(db, all, placeOf(place))
  }

  /** Paths that were declared. */
  async indexes(): Promise<JsonPath[]> {
    const { db, names: all } = this.#open()
    return pathIndexes(db, all)
  }

  /** @returns whether there was such an index. */
  async dropIndex(place: IndexedPath): Promise<boolean> {
    const { db, names: all } = this.#open()
    return dropPathIndex(db, all, placeOf(place))
  }

  /** Workers by id, with what they run. */
  async workers(): Promise<WorkerRecord[]> {
    return workers(this.#open())
  }

  /** Numbers of jobs by queue and state: counted up to 10,000, beyond that estimated and said to be. */
  async stats(): Promise<Stats> {
    return stats(this.#open())
  }

  /** @throws MILLRACE_UNKNOWN_QUEUE. */
  async queue(name: string): Promise<QueueRecord> {
    const { db, names: all } = this.#open()
    const found = await findQueue(db, all, name)
    if (!found) throw unknownQueue(name)
    return found
  }

  /**
   * From now on no job of the queue starts, anywhere; those that run go on. With `until` (a Date, or `"in 10m"`) it
   * resumes by itself.
   *
   * @throws MILLRACE_UNKNOWN_QUEUE.
   */
  async pauseQueue(name: string, given?: OptionsInput<typeof pauseOptions>): Promise<void> {
    const { db, names: all } = this.#open()
    const options = parseOptions("pauseQueue", pauseOptions, given)
    const until = options.until === undefined ? undefined : parseMoment(options.until, "pauseQueue.until")
    if (!(await pauseQueue(db, all, name, until))) throw unknownQueue(name)
    this.#queueChanged(name, "queue.paused")
  }

  /** @throws MILLRACE_UNKNOWN_QUEUE. */
  async resumeQueue(name: string): Promise<void> {
    const { db, names: all } = this.#open()
    if (!(await resumeQueue(db, all, name))) throw unknownQueue(name)
    this.#queueChanged(name, "queue.resumed")
  }

  /**
   * Deletes a queue. Its waiting jobs stay (and run when it is declared again), or with `jobs: true` go as well.
   *
   * @returns how many jobs went.
   * @throws MILLRACE_UNKNOWN_QUEUE.
   */
  async deleteQueue(name: string, given?: OptionsInput<typeof deleteOptions>): Promise<number> {
    const { db, names: all } = this.#open()
    const options = parseOptions("deleteQueue", deleteOptions, given)
    const { found, deleted } = await deleteQueue(db, all, name, options.jobs)
    if (!found) throw unknownQueue(name)
    this.#queueChanged(name, "queue.removed")
    return deleted
  }

  /**
   * Why a job does not run now: every reason that holds at this moment, in words and as data, with the time at which it
   * ends where that is known. Reads only; costs a few index look-ups.
   *
   * @throws MILLRACE_UNKNOWN_JOB, MILLRACE_BAD_ID.
   */
  async explain(job: Reference | string): Promise<Explanation> {
    const { id, duplicate } = typeof job === "string" ? this.job(job) : job
    return explain(this.#open(), id, duplicate)
  }

  /** Keys of an ordered queue that stand still since a job of theirs failed for good, the longest first. */
  async stoppedKeys(queue: string): Promise<StoppedKey[]> {
    const { db, names: all } = this.#open()
    return stoppedKeys(db, all, queue)
  }

  /** Lets a key go on that stands still: the job that failed stays as it is. Returns whether it stood still. */
  async resumeKey(queue: string, key: string): Promise<boolean> {
    const { db, names: all, notices } = this.#open()
    const resumed = await resumeKey(db, all, queue, key)
    if (resumed) notices.send({ kind: "ready", about: queue })
    return resumed
  }

  #queueChanged(name: string, event: QueueEvent): void {
    const { notices, hub } = this[context]
    notices.send({ kind: "queue", about: name })
    hub.emit(event, { queue: name }, { cluster: true })
  }

  #open(): Context {
    if (this.#closed) throw appClosed()
    return this[context]
  }

  /** Finishes what is under way and closes the connections (not a pool of yours). Stop the workers first. */
  close(): Promise<void> {
    const { pusher, waiter, notices, db } = this[context]
    return (this.#closed ??= (async () => {
      await pusher.close()
      waiter.close()
      this[context].hub.close()
      await notices.close()
      this.#ended = true
      await db.close()
    })())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

const appClosed = () => failure("MILLRACE_CLOSED", "This app was closed; make a new Millrace to go on.")

const notConnected = (cause: unknown) =>
  failure(
    "MILLRACE_NOT_CONNECTED",
    `The database could not be reached: ${String((cause as Error).message || sqlState(cause))}. Check the connection string, and that the server is up.`,
    cause,
  )

/** Says in our words that the app is closed, the database not there, or the tables missing. */
function guarded(db: Database, closed: () => boolean): Database {
  return {
    ...db,
    async query(text, values) {
      if (closed()) throw appClosed()
      return db.query<never>(text, values).catch((error: unknown) => {
        if (unreachable(error)) throw notConnected(error)
        throw explained(error)
      })
    },
    async transaction(run) {
      if (closed()) throw appClosed()
      return db.transaction(run).catch((error: unknown) => {
        throw unreachable(error) ? notConnected(error) : error
      })
    },
  }
}

/** For handlers in other threads and processes: the same installation, with few connections, and silent. */
function recipeOf(options: OptionsOutput<typeof millraceOptions>): AppRecipe | undefined {
  const { dsn, schema, name, notifications, maxPayload, queryTimeout, pushTimeout } = options
  if (dsn === undefined) return undefined
  return {
    module: import.meta.url,
    options: {
      dsn,
      schema,
      name,
      notifications,
      maxPayload,
      queryTimeout,
      pushTimeout,
      maxConnections: 2,
      logger: false,
    },
  }
}

function databaseOf(options: {
  dsn: string | undefined
  pool: PgPool | undefined
  maxConnections: number
  queryTimeout: number
}): Database {
  if ((options.dsn === undefined) === (options.pool === undefined)) {
    throw failure(
      "MILLRACE_BAD_OPTION",
      "Millrace needs a database: give either `dsn` (a connection string) or `pool` (your own pg.Pool).",
    )
  }
  return options.pool ? fromPool(options.pool, options) : fromDsn(options.dsn!, options)
}

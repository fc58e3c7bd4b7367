import type { Context } from "../client/context.ts"
import { abortableSleep } from "../lib/signal.ts"
import { openExecutor, type Executor, type ExecutorEntry } from "../model/executor.ts"
import type { Handler } from "../model/definition.ts"
import { failure } from "../model/errors.ts"
import type { ParsedQueue, QueueRecord } from "../model/queue.ts"

const closeWithin = 10_000

/** The executors of a worker: which it knows by name, and those that are open for its queues. */
export class Executors {
  readonly #context: Context
  readonly #entries: ReadonlyMap<string, ExecutorEntry>
  readonly #handlers: () => Iterable<Handler>
  /** Started, not yet taken; by the key of `keyOf`. */
  readonly #started = new Map<string, Executor>()
  readonly #starting = new Map<string, { readonly executor: Executor; readonly end: Promise<void> }>()

  constructor(context: Context, entries: ReadonlyMap<string, ExecutorEntry>, handlers: () => Iterable<Handler>) {
    this.#context = context
    this.#entries = entries
    this.#handlers = handlers
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()]
  }

  knows(name: string): boolean {
    return this.#entries.has(name)
  }

  /**
   * Makes the executor for a queue, and checks that it can do what the queue asks for.
   *
   * @throws MILLRACE_LIMIT_REFUSED, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_INLINE_HANDLER.
   */
  open(queue: QueueRecord | ParsedQueue): Executor {
    const { log, maxPayload, recipe } = this.#context
    const handlers = [...new Set(this.#handlers())]
    const modules = [...new Set(handlers.flatMap(({ module }) => module ?? []))]
    const executor = openExecutor(queue.executor, this.#entries.get(queue.executor)!, {
      name: queue.name,
      concurrency: queue.concurrency,
      options: queue.executorOptions,
      timeout: queue.timeout,
      memoryLimit: queue.memoryLimit,
      modules,
      app: recipe,
      maxPayload,
      log,
    })
    const stray = handlers.find(({ module, definition }) => !module && definition.defaults.queue === queue.name)
    if (executor.inline === false && stray) throw inlineHandler(stray.definition.name, queue)
    return executor
  }

  /**
   * An executor that is ready to run a queue's jobs, or undefined when it is being started: then `later` is called once it
   * is (ask again) or could not be (`error`).
   */
  take(queue: QueueRecord, later: (error?: unknown) => void): Executor | undefined {
    const key = `${queue.name} ${keyOf(queue)}`
    const ready = this.#started.get(key)
    this.#started.delete(key)
    if (ready || this.#starting.has(key)) return ready
    const executor = this.open(queue)
    if (!executor.start) return executor
    const end = executor.start().then(
      () => {
        this.#starting.delete(key)
        this.#started.set(key, executor)
        later()
      },
      async (error: unknown) => {
        this.#starting.delete(key)
        await this.close(executor)
        later(error)
      },
    )
    this.#starting.set(key, { executor, end })
    return undefined
  }

  /** Resolves when nothing is being started. */
  async settled(): Promise<void> {
    while (this.#starting.size > 0) await Promise.all(Array.from(this.#starting.values(), ({ end }) => end))
  }

  /** Ends what was started and is not wanted any more: its queue has changed meanwhile. */
  async closeRest(): Promise<void> {
    const rest = [...this.#started.values()]
    this.#started.clear()
    await Promise.all(rest.map((executor) => this.close(executor)))
  }

  /** The worker stops: ends also what is being started. */
  async closeAll(): Promise<void> {
    await Promise.all(Array.from(this.#starting.values(), ({ executor }) => this.close(executor)))
    await this.settled()
    await this.closeRest()
  }

  /** Never throws, and waits for no executor for ever. */
  async close(executor: Executor): Promise<void> {
    const late = new AbortController()
    const patience = abortableSleep(closeWithin, late.signal).then((over) => {
      if (over) throw new Error(`it did not close within ${closeWithin} ms`)
    })
    try {
      await Promise.race([executor.close?.(), patience])
    } catch (error) {
      this.#context.log.error("an executor could not be closed", { error: String(error) })
    } finally {
      late.abort()
    }
  }
}

/** What of a queue its executor is made for: when it changes, a new one is. */
export const keyOf = ({ executor, executorOptions, memoryLimit }: QueueRecord): string =>
  JSON.stringify([executor, executorOptions, memoryLimit ?? null])

export const inlineHandler = (job: string, queue: { readonly name: string; readonly executor: string }) =>
  failure(
    "MILLRACE_INLINE_HANDLER",
    `The handler of "${job}" is written in the worker's program, and queue "${queue.name}" runs its jobs with the executor ` +
      `"${queue.executor}", which loads handlers from modules: export it from a module and pass its URL, ` +
      '`handlers: new URL("./handlers.js", import.meta.url)`.',
  )

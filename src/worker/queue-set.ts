import type { Context } from "../client/context.ts"
import { deferred } from "../lib/deferred.ts"
import { describe } from "../lib/error.ts"
import type { QueueRecord } from "../model/queue.ts"
import { listQueues } from "../postgres/queues.ts"
import { keyOf, type Executors } from "./executors.ts"
import type { Home } from "./home.ts"
import { runsHere } from "./placement.ts"
import { QueueRunner } from "./queue-runner.ts"

/** The queues that run on a worker: read from their rows again and again, placed by tags, changed without disturbing what runs. */
export class QueueSet {
  readonly #context: Context
  readonly #home: Home
  readonly #tags: readonly string[]
  readonly #executors: Executors
  /** After each reading. */
  readonly #loaded: () => Promise<void>
  readonly #runners = new Map<string, QueueRunner>()
  /** Of queues that left, until their last job is settled. */
  readonly #leaving = new Set<QueueRunner>()
  readonly #told = new Set<string>()
  #loading: Promise<void> | undefined
  #again = false
  #open = true
  readonly #stopped = deferred<void>()

  constructor(home: Home, tags: readonly string[], executors: Executors, loaded: () => Promise<void>) {
    this.#context = home.context
    this.#home = home
    this.#tags = tags
    this.#executors = executors
    this.#loaded = loaded
  }

  get names(): readonly string[] {
    return [...this.#runners.keys()]
  }

  get(name: string): QueueRunner | undefined {
    return this.#runners.get(name)
  }

  /** Runners that claim. */
  active(): QueueRunner[] {
    return [...this.#runners.values()]
  }

  /** Runners that hold, or may hold, jobs. */
  all(): QueueRunner[] {
    return [...this.#runners.values(), ...this.#leaving]
  }

  /** Reads the rows; asked for while it reads, it reads once more. Never fails: the next poll reads again. */
  reload(): Promise<void> {
    if (!this.#open) return Promise.resolve()
    if (this.#loading) {
      this.#again = true
      return this.#loading
    }
    return (this.#loading = this.#load()
      .catch((error: unknown) => this.#context.log.debug("queues could not be read", { error: String(error) }))
      .finally(() => {
        this.#loading = undefined
        if (!this.#again) return
        this.#again = false
        void this.reload()
      }))
  }

  async #load(): Promise<void> {
    const { db, names, log } = this.#context
    const rows = await listQueues(db, names)
    if (!this.#open) return
    const here = new Map(rows.filter((queue) => runsHere(queue, this.#tags)).map((queue) => [queue.name, queue]))
    for (const [name, runner] of this.#runners) if (!here.has(name)) this.#leave(runner)
    for (const queue of here.values()) this.#place(queue)
    void this.#executors.closeRest()
    if (here.size === 0)
      this.#once("nothing", () =>
        log.warn("no queue's tags match this worker's tags, so it runs nothing", { tags: this.#tags }),
      )
    await this.#loaded()
  }

  #place(queue: QueueRecord): void {
    const runner = this.#runners.get(queue.name)
    if (runner && keyOf(runner.queue) === keyOf(queue)) {
      const { revision, paused } = runner.queue
      if (revision !== queue.revision || paused !== queue.paused) runner.configure(queue)
      return
    }
    if (runner) this.#leave(runner)
    if (!this.#executors.knows(queue.executor)) return this.#withoutExecutor(queue)
    try {
      this.#run(queue)
    } catch (error) {
      this.#refuse(queue, error)
    }
  }

  /** Runs the queue, or has its executor started first and reads the rows again when it is. */
  #run(queue: QueueRecord): void {
    const executor = this.#executors.take(queue, (error) => {
      if (error === undefined) void this.reload()
      else this.#refuse(queue, error)
    })
    if (!executor) return
    const fresh = new QueueRunner(this.#home, queue, executor)
    this.#runners.set(queue.name, fresh)
    fresh.start()
  }

  /** The queue asks for what its executor cannot do, or its executor does not start: it is left alone, and looked at again. */
  #refuse({ name, executor, revision }: QueueRecord, error: unknown): void {
    const text = `queue "${name}" is not run here: ${describe(error)}`
    const fields = { code: (error as { code?: unknown } | null)?.code, executor }
    this.#once(`${name} ${revision} ${describe(error)}`, () => this.#context.log.error(text, fields))
  }

  #withoutExecutor({ name, executor }: QueueRecord): void {
    const text = `queue "${name}" wants the executor "${executor}", which this worker does not have; it leaves the queue to others`
    const fields = { code: "MILLRACE_NO_EXECUTOR", known: this.#executors.names }
    this.#once(`${name} ${executor}`, () => this.#context.log.warn(text, fields))
  }

  /** Its jobs finish undisturbed, on the executor that they run on. */
  #leave(runner: QueueRunner): void {
    this.#runners.delete(runner.name)
    this.#leaving.add(runner)
    runner.stop()
    void runner.drained().then(async () => {
      this.#leaving.delete(runner)
      await this.#executors.close(runner.executor)
    })
  }

  #once(key: string, run: () => void): void {
    if (this.#told.has(key)) return
    this.#told.add(key)
    run()
  }

  /** No queue is placed, and no job claimed, any more. */
  stop(): void {
    this.#open = false
    this.#stopped.resolve()
    for (const runner of this.all()) runner.stop()
  }

  async drained(): Promise<void> {
    await this.#loading
    await Promise.all(this.all().map((runner) => runner.drained()))
  }

  /** Once no executor is being started, or the worker was told to stop. */
  async opened(): Promise<void> {
    await Promise.race([this.#executors.settled(), this.#stopped.promise])
    await this.#loading
  }

  /** Ends the executors, with whatever still runs on them. */
  async close(): Promise<void> {
    await Promise.all(this.all().map((runner) => this.#executors.close(runner.executor)))
    await this.#executors.closeAll()
  }
}

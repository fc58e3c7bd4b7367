import type { Context } from "../client/context.ts"
import type { Executor } from "../model/executor.ts"
import type { QueueRecord } from "../model/queue.ts"
import { listQueues } from "../postgres/queues.ts"
import type { Home } from "./home.ts"
import { runsHere } from "./placement.ts"
import { QueueRunner } from "./queue-runner.ts"

/** The queues that run on a worker: read from their rows again and again, placed by tags, changed without disturbing what runs. */
export class QueueSet {
  readonly #context: Context
  readonly #home: Home
  readonly #tags: readonly string[]
  readonly #executors: ReadonlyMap<string, Executor>
  /** After each reading. */
  readonly #loaded: () => Promise<void>
  readonly #runners = new Map<string, QueueRunner>()
  /** Of queues that left, until their last job is settled. */
  readonly #leaving = new Set<QueueRunner>()
  readonly #told = new Set<string>()
  #loading: Promise<void> | undefined
  #again = false
  #open = true

  constructor(
    home: Home,
    tags: readonly string[],
    executors: ReadonlyMap<string, Executor>,
    loaded: () => Promise<void>,
  ) {
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
    if (here.size === 0)
      this.#once("nothing", () =>
        log.warn("no queue's tags match this worker's tags, so it runs nothing", { tags: this.#tags }),
      )
    await this.#loaded()
  }

  #place(queue: QueueRecord): void {
    const executor = this.#executors.get(queue.executor)
    const runner = this.#runners.get(queue.name)
    if (runner && runner.executor === executor) {
      const { revision, paused } = runner.queue
      if (revision !== queue.revision || paused !== queue.paused) runner.configure(queue)
      return
    }
    if (runner) this.#leave(runner)
    if (!executor) return this.#withoutExecutor(queue)
    const fresh = new QueueRunner(this.#home, queue, executor)
    this.#runners.set(queue.name, fresh)
    fresh.start()
  }

  #withoutExecutor({ name, executor }: QueueRecord): void {
    const text = `queue "${name}" wants the executor "${executor}", which this worker does not have; it leaves the queue to others`
    const fields = { code: "MILLRACE_NO_EXECUTOR", known: [...this.#executors.keys()] }
    this.#once(`${name} ${executor}`, () => this.#context.log.warn(text, fields))
  }

  /** Its jobs finish undisturbed. */
  #leave(runner: QueueRunner): void {
    this.#runners.delete(runner.name)
    this.#leaving.add(runner)
    runner.stop()
    void runner.drained().then(() => this.#leaving.delete(runner))
  }

  #once(key: string, run: () => void): void {
    if (this.#told.has(key)) return
    this.#told.add(key)
    run()
  }

  /** No queue is placed, and no job claimed, any more. */
  stop(): void {
    this.#open = false
    for (const runner of this.all()) runner.stop()
  }

  async drained(): Promise<void> {
    await this.#loading
    await Promise.all(this.all().map((runner) => runner.drained()))
  }
}

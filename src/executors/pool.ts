import { availableParallelism } from "node:os"
import { deferred } from "../lib/deferred.ts"
import { describe } from "../lib/error.ts"
import type { OptionsOutput } from "../lib/options.ts"
import type { poolOptions } from "../model/built-in-executors.ts"
import { failure } from "../model/errors.ts"
import type { Attempt, Executor, ExecutorQueue } from "../model/executor.ts"
import type { Report } from "../model/outcome.ts"
import { unpackError } from "../model/wire.ts"
import { Call } from "./call.ts"
import type { FromSeat, Setup, ToSeat } from "./messages.ts"

/*
 * A pool of seats: threads or processes with room for one call each, so that a hard stop, a crash or too much memory
 * costs nobody but the job that it is about. It grows as calls come (the worker never makes more than the queue's
 * concurrency), keeps one seat when idle, and replaces what has ended.
 *
 * Why no pool library: piscina and tinypool were tried. Both end a thread at once when its task's signal aborts, without
 * the grace period in which a handler can obey; neither passes the reason on; and a channel per task for progress, logs,
 * pushes and transactions, which both leave to the caller, costs more than the task. What would be left of them is a list
 * of idle threads. Measured side by side (bench `executors`), a task costs this pool and piscina the same.
 */

/** A thread or process, once launched. */
export interface Vessel {
  post(message: ToSeat): void
  /** Ends it when it is idle. */
  end(): void
  /** Ends it whatever it does. */
  kill(): void
}

export interface VesselEvents {
  message(message: FromSeat): void
  /** Once; `why` when it was not asked to. */
  ended(why: Error): void
}

export interface Kind {
  readonly what: "thread" | "process"
  readonly concurrency: number
  readonly maxJobs: number
  launch(setup: Setup, queue: ExecutorQueue, events: VesselEvents): Vessel
}

type Options = OptionsOutput<typeof poolOptions>

export function poolExecutor(kind: Kind, queue: ExecutorQueue, options: Options, init: URL | undefined): Executor {
  const setup: Setup = {
    init: init?.href,
    modules: queue.modules,
    queue: queue.name,
    maxPayload: queue.maxPayload,
    app: queue.app,
  }
  const pool = new Pool(kind, queue, options, setup)
  return {
    defaultConcurrency: kind.concurrency,
    inline: false,
    remote: true,
    limits: ["time", "memory"],
    start: () => pool.start(),
    run: (attempt) => pool.run([attempt]).then(([report]) => report!),
    runBatch: (attempts) => pool.run(attempts),
    kill: (attempt) => pool.kill(attempt),
    close: () => pool.close(),
  }
}

export const processors = availableParallelism()

class Seat {
  /** It has said that it is. */
  isReady = false
  call: Call | undefined
  calls = 0
  idleSince = 0
  readonly vessel: Vessel
  readonly #starting = deferred<void>()
  readonly #startTimer: NodeJS.Timeout

  constructor(launch: (events: VesselEvents) => Vessel, startTimeout: number, left: (seat: Seat, why: Error) => void) {
    this.#starting.promise.catch(() => {}) // whoever waits for it is told, and maybe nobody does
    this.#startTimer = setTimeout(() => {
      this.#starting.reject(new Error(`it was not ready within ${startTimeout} ms`))
      this.vessel.kill()
    }, startTimeout)
    this.vessel = launch({
      message: (message) => this.#received(message),
      ended: (why) => {
        clearTimeout(this.#startTimer)
        this.#starting.reject(why)
        left(this, why)
      },
    })
  }

  get ready(): Promise<void> {
    return this.#starting.promise
  }

  /** The pool's: its call has ended well. */
  onFree: (call: Call) => void = () => {}

  #received(message: FromSeat): void {
    if (message[0] === "ready") {
      clearTimeout(this.#startTimer)
      this.isReady = true
      this.#starting.resolve()
    } else if (message[0] === "broken") {
      this.#starting.reject(unpackError(message[1]))
      this.vessel.kill()
    } else if (this.call?.receive(message)) {
      const { call } = this
      this.call = undefined
      this.onFree(call)
    }
  }
}

class Pool {
  readonly #kind: Kind
  readonly #queue: ExecutorQueue
  readonly #options: Options
  readonly #setup: Setup
  readonly #seats = new Set<Seat>()
  readonly #free: Seat[] = []
  readonly #calls = new Map<Attempt, { call: Call; seat: Seat }>()
  #numbers = 0
  #closed = false
  #trimTimer: NodeJS.Timeout | undefined
  #emptied: (() => void) | undefined

  constructor(kind: Kind, queue: ExecutorQueue, options: Options, setup: Setup) {
    this.#kind = kind
    this.#queue = queue
    this.#options = options
    this.#setup = setup
  }

  /** Launches the first seat: a module that cannot be loaded is told before a job is claimed. */
  async start(): Promise<void> {
    const seat = this.#launch()
    await seat.ready.catch((error: unknown) => {
      throw this.#unstartable(error)
    })
    this.#rest(seat)
  }

  run(attempts: readonly Attempt[]): Promise<readonly Report[]> {
    return new Promise((resolve) => {
      const call = new Call((this.#numbers += 1), attempts, resolve)
      const seat = this.#free.pop() ?? this.#launch()
      seat.call = call
      for (const attempt of attempts) this.#calls.set(attempt, { call, seat })
      if (seat.isReady) call.begin(seat.vessel)
      else
        seat.ready.then(
          () => call.wanted && call.begin(seat.vessel),
          (error: unknown) => this.#lost(seat, this.#unstartable(error)),
        )
    })
  }

  /** Ends the call's seat when nobody waits for any of its jobs any more. */
  kill(attempt: Attempt): void {
    const running = this.#calls.get(attempt)
    if (!running) return
    running.call.killed(attempt)
    if (!running.call.wanted) running.seat.vessel.kill()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#trimTimer)
    const empty = this.#seats.size === 0 ? undefined : new Promise<void>((resolve) => (this.#emptied = resolve))
    for (const seat of this.#seats) {
      if (seat.call) seat.vessel.kill()
      else this.#retire(seat)
    }
    this.#free.length = 0
    await empty
  }

  #launch(): Seat {
    const launch = (events: VesselEvents) => this.#kind.launch(this.#setup, this.#queue, events)
    const seat = new Seat(launch, this.#options.startTimeout, (gone, why) => this.#left(gone, why))
    seat.onFree = (call) => this.#freed(seat, call)
    this.#seats.add(seat)
    return seat
  }

  /** A seat's thread or process has ended, whyever. */
  #left(seat: Seat, why: Error): void {
    this.#seats.delete(seat)
    const index = this.#free.indexOf(seat)
    if (index >= 0) this.#free.splice(index, 1)
    if (seat.isReady) this.#lost(seat, why)
    if (this.#seats.size === 0) this.#emptied?.()
  }

  #lost(seat: Seat, error: unknown): void {
    const { call } = seat
    if (!call) return
    seat.call = undefined
    for (const attempt of call.attempts) this.#calls.delete(attempt)
    call.fail(error)
  }

  /** The call of this seat has ended well. */
  #freed(seat: Seat, call: Call): void {
    for (const attempt of call.attempts) this.#calls.delete(attempt)
    seat.calls += 1
    const { maxJobs = this.#kind.maxJobs } = this.#options
    if (this.#closed || (maxJobs > 0 && seat.calls >= maxJobs)) this.#replace(seat)
    else this.#rest(seat)
  }

  #replace(seat: Seat): void {
    this.#retire(seat)
    // At the far end of the list: taken last, so that it has time to start.
    if (!this.#closed) this.#free.unshift(this.#launch())
  }

  #rest(seat: Seat): void {
    seat.idleSince = performance.now()
    this.#free.push(seat)
    if (this.#trimTimer || this.#closed) return
    this.#trimTimer = setInterval(() => this.#trim(), Math.max(this.#options.idleTimeout / 2, 50)).unref()
  }

  /** Ends what has been idle for long; the last one taken goes first, and one stays. */
  #trim(): void {
    const since = performance.now() - this.#options.idleTimeout
    while (this.#seats.size > 1 && this.#free[0]?.isReady && this.#free[0].idleSince < since)
      this.#retire(this.#free.shift()!)
  }

  /** Asks it to end, and makes it. */
  #retire(seat: Seat): void {
    seat.vessel.end()
    setTimeout(() => this.#seats.has(seat) && seat.vessel.kill(), 2_000).unref()
  }

  #unstartable(error: unknown) {
    const { what } = this.#kind
    return failure(
      "MILLRACE_EXECUTOR_START",
      `A ${what} for queue "${this.#queue.name}" could not be started: ${describe(error)}. ` +
        "It loads the init module and every handler module of the worker; see the cause.",
      error,
    )
  }
}

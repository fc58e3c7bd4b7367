// The worker's half of a child process: handlers that count, and stamp the time where latency is asked for.
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { invoice } from "./invoice.ts"
import { now, ownCpu } from "./measure.ts"
import type { Payload, Running, Side, WorkerOptions } from "./side.ts"

export type Work = "nothing" | "stamp" | "sleep5" | "query" | "document"

export interface Consumption {
  /** CPU seconds since the first handler started. */
  cpu(): number
  /** Milliseconds from the call of push to the start of the handler. */
  latencies: number[]
  running: Running
}

export interface ConsumeEvents {
  /** The first handler has started, at this time. */
  first(at: number): void
  /** So many handlers have finished since the worker started. */
  finished(count: number): void
}

/** Often enough to time a drain of a second, rarely enough to cost nothing. */
const REPORT_EVERY = 5

export async function consume(
  side: Side,
  url: string,
  work: Work,
  options: WorkerOptions,
  events: ConsumeEvents,
): Promise<Consumption> {
  const latencies: number[] = []
  let pool: pg.Pool | undefined
  let table: Promise<unknown> | undefined
  let finished = 0
  let cpuAtFirst: number | undefined
  const begin = () => {
    cpuAtFirst = ownCpu()
    events.first(now())
  }
  const handlers: Record<Work, (payload: Payload) => void | Promise<void>> = {
    nothing: () => void finished++,
    stamp: ({ i, at }) => {
      if (i >= 0 && at !== undefined) latencies.push(now() - at)
      finished++
    },
    sleep5: async () => {
      await sleep(5)
      finished++
    },
    // The least that a job of an application does: it asks its database one question.
    query: async ({ i }) => {
      pool ??= new pg.Pool({ connectionString: url, max: 10 })
      await pool.query({ name: "ask", text: "select $1::integer as answer", values: [i] })
      finished++
    },
    // A small job as applications have them: it reads, makes something of it in about a millisecond, and writes it down.
    document: async ({ i }) => {
      pool ??= new pg.Pool({ connectionString: url, max: 10 })
      await (table ??= pool.query("create table if not exists bench_documents (id integer, html text)"))
      const { rows } = await pool.query<{ lines: number }>({ name: "read", text: "select 500 as lines", values: [] })
      const values = [i, invoice(i, rows[0]!.lines)]
      await pool.query({ name: "keep", text: "insert into bench_documents (id, html) values ($1, $2)", values })
      finished++
    },
  }
  const handler = handlers[work]
  const running = await side.worker(url, options, (payload) => {
    if (cpuAtFirst === undefined) begin()
    return handler(payload)
  })
  reportChanges(() => finished, events)
  return { cpu: () => ownCpu() - (cpuAtFirst ?? ownCpu()), latencies, running }
}

function reportChanges(count: () => number, events: ConsumeEvents): void {
  let reported = 0
  setInterval(() => {
    if (count() === reported) return
    reported = count()
    events.finished(reported)
  }, REPORT_EVERY)
}

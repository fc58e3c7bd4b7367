// The module whose handlers the tests of executors run: on the event loop, in threads and in processes.
import fs from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { threadId } from "node:worker_threads"
import { cancel, discard, retry, snooze } from "millrace"
import { currentJob } from "millrace/current-job"
import * as jobs from "./jobs.ts"
import { NoSuchThing } from "./jobs.ts"

const stopped = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    const fire = () => reject(signal.reason as Error)
    if (signal.aborted) fire()
    else signal.addEventListener("abort", fire)
  })

/** Writes a growing number, so that somebody outside sees whether it still runs. */
async function tick(file: string): Promise<never> {
  for (let count = 1; ; count++) {
    fs.writeFileSync(file, String(count))
    await sleep(5)
  }
}

export const behave = jobs.behave.handler(async (what, job) => {
  if (what.file) fs.writeFileSync(what.file, "0")
  if (what.do === "fail") throw new Error("told to fail")
  if (what.do === "obey") return stopped(job.signal)
  if (what.do === "deaf") return tick(what.file!)
  return "told to succeed"
})
export const echo = jobs.echo.handler((payload) => payload)
export const dated = jobs.dated.handler(({ at }) => ({ year: at.getUTCFullYear() }))

export default [
  jobs.facts.handler((_, job) => {
    const { id, name, queue, attempt, maxAttempts, crashes, claims, tags, meta } = job
    const remaining = job.remaining!
    return {
      id,
      name,
      queue,
      attempt,
      maxAttempts,
      crashes,
      claims,
      tags,
      meta,
      remaining,
      aborted: job.signal.aborted,
    }
  }),
  jobs.telling.handler(async (_, job) => {
    job.progress({ half: 0.5 })
    job.log("on my way", { step: 1 })
    job.log.warn("slowly")
    await stopped(job.signal).catch(() => {})
  }),
  jobs.noting.handler(({ fail }, job) => {
    job.meta.attempts = [...((job.meta.attempts as number[] | undefined) ?? []), job.attempt]
    delete job.meta.old
    if (fail && job.attempt === 1) throw new Error("once more")
    return JSON.stringify(job.meta)
  }),
  jobs.throwing.handler(({ how }) => {
    if (how === "class") throw new NoSuchThing("no such thing")
    if (how === "text") throw "only text" // oxlint-disable-line typescript/only-throw-error -- users do
    throw Object.assign(new TypeError("rich", { cause: new Error("beneath") }), { code: "E_RICH", detail: { a: 1 } })
  }),
  jobs.telldirective.handler(({ how }, job) => {
    if (how === "snooze") return job.meta.slept ? "awake" : ((job.meta.slept = true), snooze(1))
    if (how === "cancel") return cancel("not today")
    if (how === "discard") throw discard(new NoSuchThing("never")) // oxlint-disable-line typescript/only-throw-error -- a directive
    return job.attempt === 1 ? retry("again") : "second"
  }),
  jobs.pushing.handler(async ({ fail, bad }, job) => {
    const { id } = await job.push(jobs.pushed, { n: bad ? ("no number" as never) : 1 }, { priority: 3 })
    if (fail) throw new Error("after the push")
    return id
  }),
  jobs.booking.handler(async ({ table, how }, job) => {
    const work = job.transaction(async (tx) => {
      const sent = new Date("2026-01-02T03:04:05.000Z")
      const { rows, count } = await tx.query<{ at: Date; attempt: number; raw: Uint8Array }>(
        `insert into ${table} values ($1, $2, $3) returning *`,
        [sent, job.attempt, Buffer.from([1, 2])],
      )
      if (how === "throw" && job.attempt === 1) throw new Error("not yet")
      if (how === "snooze") return snooze("1h")
      if (how === "hang") await tick(job.meta.file as string)
      return { count, same: rows[0]!.at.getTime() === sent.getTime(), raw: rows[0]!.raw[1] }
    })
    if (how !== "loose") return work
    work.catch(() => {})
    return "did not wait"
  }),
  jobs.many.batch({ size: 10 }, (batch) =>
    batch.map(({ payload }) => (payload < 0 ? new Error(`negative among ${batch.length}`) : payload * 2)),
  ),
  jobs.current.handler(async (_, job) => {
    await sleep(1)
    return { same: currentJob()?.id === job.id, name: currentJob()?.name }
  }),
  jobs.appPush.handler(async (_, job) => {
    const { id } = await job.app.push(jobs.pushed, { n: 2 })
    return id
  }),
  jobs.crashing.handler(async ({ how, file }, job) => {
    if (how === "where") return `${process.pid} ${threadId}`
    if (file) fs.writeFileSync(file, `${process.pid} ${threadId}`)
    if (how.startsWith("meet ")) {
      while (!fs.existsSync(how.slice(5))); // computes, and looks for the other one without ever awaiting
      return "met"
    }
    if (how === "exit") process.exit(3)
    if (how === "abort") process.abort()
    if (how === "uncaught") setImmediate(() => { throw new Error("nobody catches me") }) // prettier-ignore
    if (how === "rejection") void Promise.reject(new Error("nobody catches me either"))
    if (how === "loop") for (;;);
    if (how === "heap") {
      const kept: unknown[] = []
      for (;;) kept.push(Array.from({ length: 1_000 }, Math.random))
    }
    if (how === "buffers") {
      const kept: Buffer[] = []
      for (;;) {
        kept.push(Buffer.alloc(8_000_000, 1))
        await sleep(1)
      }
    }
    return stopped(job.signal)
  }),
  jobs.marked.handler(() => (globalThis as { marks?: unknown }).marks),
]

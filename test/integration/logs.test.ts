import { defineJob, type JobEvent, type Millrace, type Reference } from "millrace"
import { randomUUID } from "node:crypto"
import { afterAll, beforeAll, expect, test } from "vitest"
import { collector, fixture, gate, rejection, until, type Fixture } from "../support/app.ts"
import { atOnce, ended, fired, raise, range, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

const messages = async (job: Reference) => (await job.logs()).map(({ message }) => message)

test("lines are readable while the job runs, and after it has finished", async () => {
  const go = gate()
  const talk = defineJob({ name: "talk" })
  await using _worker = await own.worker(app, {
    handlers: [
      talk.handler(async (_, job) => {
        job.log("started", { size: 3, deep: { list: [1, null] } })
        job.log.warn("slow disk")
        await go.opened
        job.log.error("the last words")
      }),
    ],
  })
  const before = Date.now()
  const job = await app.push(talk)
  const lines = await until(async () => {
    const found = await job.logs()
    return found.length === 2 && found
  }, "both lines are stored while it runs")
  expect(lines).toMatchObject([
    { n: 1, attempt: 1, level: "info", message: "started", fields: { size: 3, deep: { list: [1, null] } } },
    { n: 2, attempt: 1, level: "warn", message: "slow disk", fields: {} },
  ])
  expect(Math.abs(lines[0]!.at.getTime() - before)).toBeLessThan(60_000)
  go.open()
  expect(await ended(app, job)).toMatchObject({ state: "succeeded" })
  expect(await messages(job)).toEqual(["started", "slow disk", "the last words"])
})

test("what is written right before the end is there when the end is", async () => {
  const quick = defineJob<number>({ name: "quick" })
  await using _worker = await own.worker(app, { handlers: [quick.handler((n, job) => job.log(`number ${n}`))] })
  const jobs = await app.pushMany(quick, range(300))
  await app.wait(jobs, { timeout: "20s" })
  expect((await Promise.all(jobs.map(messages))).flat()).toEqual(range(300).map((n) => `number ${n}`))
})

test("lines of all attempts are numbered on", async () => {
  const failing = defineJob({ name: "failing", backoff: atOnce, maxAttempts: 3 })
  await using _worker = await own.worker(app, {
    handlers: [failing.handler((_, job) => (job.log("try"), raise(new Error("no"))))],
  })
  const job = await app.push(failing)
  expect(await ended(app, job)).toMatchObject({ state: "failed" })
  expect((await job.logs()).map(({ n, attempt }) => [n, attempt])).toEqual([
    [1, 1],
    [2, 2],
    [3, 3],
  ])
})

test("a page ends at its limit and goes on behind its last number", async () => {
  const long = defineJob({ name: "long" })
  await using _worker = await own.worker(app, {
    handlers: [long.handler((_, job) => range(450).forEach((n) => job.log(`line ${n + 1}`)))],
  })
  const job = await app.push(long)
  await ended(app, job)
  const pages = []
  for (let after = 0; ;) {
    const page = await job.logs({ after, limit: 70 })
    if (page.length === 0) break
    pages.push(page)
    after = page.at(-1)!.n
  }
  expect(pages.map((page) => page.length)).toEqual([70, 70, 70, 70, 70, 70, 30])
  expect(pages.flat().map(({ n, message }) => [n, message])).toEqual(range(450).map((n) => [n + 1, `line ${n + 1}`]))
})

test("a job that writes nothing has no lines, and no rows; one that never was is unknown", async () => {
  const mute = defineJob({ name: "mute" })
  await using _worker = await own.worker(app, { handlers: [mute.handler(() => {})] })
  const job = await app.push(mute)
  await ended(app, job)
  expect(await job.logs()).toEqual([])
  expect((await own.pool.query("select 1 from millrace.job_logs where job_id = $1", [job.id])).rows).toEqual([])
  expect(await rejection(app.job(randomUUID()).logs())).toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
})

test("anything can be logged: what cannot be stored is repaired or cut, and nothing is thrown", async () => {
  const odd = defineJob({ name: "odd" })
  const circle: Record<string, unknown> = { big: 10n }
  circle.self = circle
  await using _worker = await own.worker(app, {
    handlers: [
      odd.handler((_, { log }) => {
        log("a\0b \ud800")
        log("circle", circle)
        log(undefined as never)
        log("x".repeat(20_000))
        log("much", { text: "y".repeat(20_000) })
        log("error", new Error("as fields"))
      }),
    ],
  })
  const job = await app.push(odd)
  expect(await ended(app, job)).toMatchObject({ state: "succeeded" })
  const lines = await job.logs()
  expect(lines[0]!.message).toBe("a\ufffdb \ufffd")
  expect(lines[1]!.fields).toEqual({ big: "10", self: "[circular]" })
  expect(lines[3]!.message).toMatch(/^x{8000}… \(20000 characters\)$/)
  expect(lines[4]!.fields).toMatchObject({ truncated: true, bytes: 20_011 })
  expect(lines).toHaveLength(6)
})

test("what is written faster than it can be stored keeps its first and its newest lines, and says what is missing", async () => {
  const flood = defineJob({ name: "flood" })
  await using _worker = await own.worker(app, {
    handlers: [flood.handler((_, job) => range(50_000).forEach((n) => job.log(`line ${n + 1}`)))],
  })
  const job = await app.push(flood)
  await ended(app, job)
  const lines = await job.logs({ limit: 20_000 })
  expect(lines.length).toBeLessThan(6_000)
  expect(lines.slice(0, 500).map(({ message }) => message)).toEqual(range(500).map((n) => `line ${n + 1}`))
  expect(lines.at(-1)).toMatchObject({ n: 50_000, message: "line 50000" })
  const [gap, ...others] = lines.filter(({ fields }) => "dropped" in fields)
  expect(others).toEqual([])
  expect(gap!.fields.dropped).toBe(50_000 - (lines.length - 1))
  expect(gap!.message).toBe(`… ${gap!.fields.dropped as number} lines were dropped here`)
  // From inside the gap, only the rest of it is missing.
  expect((await job.logs({ after: gap!.n - 5, limit: 2 })).map(({ fields }) => fields)).toEqual([{ dropped: 5 }, {}])
})

test("a job keeps at most 10,000 lines: its first ones, and the newest", async () => {
  const chatty = defineJob({ name: "chatty" })
  await using _worker = await own.worker(app, {
    handlers: [
      chatty.handler(async (_, job) => {
        for (let n = 0; n < 15_000;) {
          for (const last = n + 1_500; n < last;) job.log(`line ${(n += 1)}`)
          await until(async () => (await app.job(job.id).logs({ after: n - 1 })).length > 0, `line ${n} is stored`)
        }
      }),
    ],
  })
  const job = await app.push(chatty)
  expect(await ended(app, job)).toMatchObject({ state: "succeeded" })
  const lines = await job.logs({ limit: 20_000 })
  expect(lines.length).toBeLessThanOrEqual(10_001)
  expect(lines.length).toBeGreaterThan(8_500)
  expect(lines.slice(0, 1_000).map(({ n }) => n)).toEqual(range(1_000).map((n) => n + 1))
  expect(lines.at(-1)!.n).toBe(15_000)
  const gap = lines.filter(({ fields }) => "dropped" in fields)
  expect(gap).toHaveLength(1)
  expect(gap[0]!.fields.dropped).toBe(15_000 - (lines.length - 1))
})

test("a job keeps at most 1 MiB of lines", async () => {
  const heavy = defineJob({ name: "heavy" })
  await using _worker = await own.worker(app, {
    handlers: [
      heavy.handler(async (_, job) => {
        for (let n = 0; n < 400;) {
          for (const last = n + 50; n < last;) job.log(`line ${(n += 1)}`, { text: "x".repeat(5_000) })
          await until(async () => (await app.job(job.id).logs({ after: n - 1 })).length > 0, `line ${n} is stored`)
        }
      }),
    ],
  })
  const job = await app.push(heavy)
  await ended(app, job)
  const { rows } = await own.pool.query<{ bytes: number; kept: number }>(
    `select bytes, (select sum(bytes)::int from millrace.job_log_chunks c where c.job_id = l.job_id) as kept
     from millrace.job_logs l where job_id = $1`,
    [job.id],
  )
  expect(rows[0]!.bytes).toBe(rows[0]!.kept)
  expect(rows[0]!.kept).toBeLessThanOrEqual(1_048_576)
  expect((await job.logs()).at(0)!.n).toBe(1)
  expect((await job.logs()).at(-1)!.n).toBe(400)
})

test("a claim that is not valid any more writes nothing, and its handler is told", async () => {
  const taken = gate()
  const told = gate<unknown>()
  const stale = defineJob({ name: "stale" })
  await using _worker = await own.worker(app, {
    heartbeat: "10s",
    lease: "60s",
    handlers: [
      stale.handler(async (_, job) => {
        if (job.claims > 1) return
        await taken.opened
        job.log("from the grave")
        told.open((await fired(job.signal)).code)
      }),
    ],
  })
  const job = await app.push(stale)
  await reached(app, job, "running")
  await own.pool.query("update millrace.jobs set token = gen_random_uuid() where id = $1", [job.id])
  taken.open()
  expect(await told.opened).toBe("MILLRACE_LEASE_LOST")
  expect(await job.logs()).toEqual([])
})

test("a batch that is sent again is stored once", async () => {
  const again = defineJob({ name: "again" })
  const go = gate()
  await using _worker = await own.worker(app, { handlers: [again.handler(() => go.opened)] })
  const job = await app.push(again)
  await reached(app, job, "running")
  const { rows } = await own.pool.query<{ token: string }>("select token from millrace.jobs where id = $1", [job.id])
  const { token } = rows[0]!
  const send = (batch: number, message: string) =>
    own.pool.query("select * from millrace.log_1('default', $1, $2, $3)", [
      [job.id],
      [token],
      JSON.stringify([
        {
          ord: 0,
          id: job.id,
          token,
          attempt: 1,
          batch,
          skip: 0,
          count: 1,
          bytes: 10,
          lines: [{ a: 0, l: "info", m: message }],
        },
      ]),
    ])
  await send(7, "one")
  expect((await send(7, "one")).rows).toEqual([{ log_1: job.id }])
  await send(8, "two")
  await send(7, "one")
  expect(await messages(job)).toEqual(["one", "two"])
  go.open()
  await ended(app, job)
})

test("lines around a job's own transaction are kept, whether it commits or not", async () => {
  const paying = defineJob({ name: "paying", backoff: atOnce, maxAttempts: 2 })
  await using _worker = await own.worker(app, {
    handlers: [
      paying.handler(async (_, job) => {
        job.log("before")
        await job.transaction(async (tx) => {
          await tx.query("select 1")
          job.log("inside")
          if (job.attempt === 1) throw new Error("rolled back")
        })
        job.log("after")
      }),
    ],
  })
  const job = await app.push(paying)
  await ended(app, job)
  await until(async () => (await job.logs()).length === 5, "the line after the commit is stored")
  expect(await messages(job)).toEqual(["before", "inside", "before", "inside", "after"])
})

test("lines are stored before the worker has stopped", async () => {
  const started = gate()
  const going = defineJob({ name: "going" })
  const worker = await own.worker(app, {
    handlers: [
      going.handler(async (_, job) => (job.log("one"), started.open(), await fired(job.signal), job.log("two"))),
    ],
    shutdownTimeout: "10ms",
  })
  const job = await app.push(going)
  await started.opened
  await worker.stop()
  expect(await messages(job)).toEqual(["one", "two"])
})

test("lines go when the record of their job has gone, and not before", async () => {
  const kept = defineJob<string>({ name: "kept" })
  await using _worker = await own.worker(app, { handlers: [kept.handler((what, job) => job.log(what))] })
  const [stays, goes, leaves] = await app.pushMany(kept, ["stays", "goes", "leaves"])
  await app.wait([stays!, goes!, leaves!])
  const none = await app.push(kept, "none", { retention: "none" })
  const rows = async (job: Reference) =>
    (await own.pool.query("select 1 from millrace.job_log_chunks where job_id = $1", [job.id])).rows.length
  await until(async () => (await none.get()) === undefined, "it has left nothing")
  await own.pool.query("delete from millrace.jobs_history where id = any($1)", [[goes!.id, leaves!.id]])
  const clean = () => own.pool.query<{ looked: number; removed: number }>("select * from millrace.clean_logs_1(1000)")
  // Not due: nobody looks, and nobody can read what is left.
  await clean()
  expect(await rows(goes!)).toBe(1)
  expect(await rejection(goes!.logs())).toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
  await own.pool.query("update millrace.job_logs set check_at = now() where job_id = any($1)", [
    [stays!.id, goes!.id, none.id],
  ])
  expect((await clean()).rows).toEqual([{ looked: 3, removed: 2 }])
  expect(await Promise.all([stays!, goes!, leaves!, none].map(rows))).toEqual([1, 0, 1, 0])
  expect(await messages(stays!)).toEqual(["stays"])
  const { rows: next } = await own.pool.query(
    `select l.check_at > h.keep_until and l.check_at < h.keep_until + interval '2 days' as after_it
     from millrace.job_logs l join millrace.jobs_history h on h.id = l.job_id where h.id = $1`,
    [stays!.id],
  )
  expect(next).toEqual([{ after_it: true }])
  expect((await clean()).rows).toEqual([{ looked: 0, removed: 0 }])
})

/** Follows to the end, or until it is told to stop. */
async function followed(job: Reference, signal?: AbortSignal): Promise<JobEvent[]> {
  const events: JobEvent[] = []
  for await (const event of job.follow({ signal })) events.push(event)
  return events
}
const short = (event: JobEvent): string =>
  event.type === "log" ? event.message : event.type === "state" ? event.state : `at ${String(event.progress)}`

test("following a job tells its lines, progress and states as they happen, and ends with it", async () => {
  const steps = [gate(), gate()] as const
  const told: string[] = []
  const film = defineJob({ name: "film" })
  await using _worker = await own.worker(app, {
    handlers: [
      film.handler(async (_, job) => {
        job.log("first")
        await steps[0].opened
        job.progress(50)
        await steps[1].opened
        job.log("last")
      }),
    ],
  })
  await using elsewhere = await own.app({ migrate: false })
  const job = await app.push(film, {}, { runAt: "in 100ms" })
  const following = (async () => {
    for await (const event of elsewhere.job(job.id).follow()) told.push(short(event))
  })()
  await until(() => told.includes("first"), "the first line is told")
  steps[0].open()
  await until(() => told.includes("at 50"), "the progress is told")
  steps[1].open()
  await following
  expect(told.filter((one) => !["scheduled", "pending", "running"].includes(one))).toEqual([
    "first",
    "at 50",
    "last",
    "succeeded",
  ])
  expect(["scheduled", "pending"]).toContain(told[0])
})

test("following a finished job tells all of it at once", async () => {
  const done = defineJob({ name: "done" })
  await using _worker = await own.worker(app, {
    handlers: [done.handler((_, job) => (range(2_500).forEach((n) => job.log(`${n}`)), job.progress(1)))],
  })
  const job = await app.push(done)
  await ended(app, job)
  expect((await followed(job)).map(short)).toEqual([...range(2_500).map(String), "at 1", "succeeded"])
})

test("following works without notifications", async () => {
  await using deaf = await own.app({ notifications: false, migrate: false })
  const go = gate()
  const slow = defineJob({ name: "slow" })
  await using _worker = await own.worker(deaf, {
    handlers: [slow.handler(async (_, job) => (job.log("here"), await go.opened))],
  })
  const job = await deaf.push(slow)
  const told: string[] = []
  for await (const event of job.follow()) {
    told.push(short(event))
    if (event.type === "log") go.open()
  }
  expect(told.at(-1)).toBe("succeeded")
  expect(told).toContain("here")
})

test("following ends when its signal fires, and leaves nobody listening", async () => {
  const stopping = new AbortController()
  const waiting = defineJob({ name: "waiting" })
  const job = await app.push(waiting, {}, { runAt: "in 1h" })
  const told: string[] = []
  for await (const event of job.follow({ signal: stopping.signal })) {
    told.push(short(event))
    stopping.abort()
  }
  expect(told).toEqual(["scheduled"])
  expect(await followed(job, AbortSignal.abort())).toEqual([])
})

test("following a job that there is not fails, and wrong options are refused", async () => {
  const nobody = app.job(randomUUID())
  expect(await rejection(followed(nobody))).toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
  expect(() => nobody.follow({ signals: 1 } as object)).toThrow(/there is no option "signals"/)
  expect(await rejection(nobody.logs({ limit: 0 }))).toMatchObject({ code: "MILLRACE_BAD_OPTION" })
})

test("only what is followed is notified", async () => {
  const heard: string[] = []
  const listener = await own.pool.connect()
  const hear = ({ payload }: { payload?: string | undefined }) => void heard.push(payload ?? "")
  listener.on("notification", hear)
  const noisy = defineJob({ name: "noisy" })
  await using _worker = await own.worker(app, { handlers: [noisy.handler((_, job) => job.log("hm"))] })
  try {
    await listener.query("listen millrace_events")
    const job = await app.push(noisy)
    await ended(app, job)
    await listener.query("select 1")
    expect(heard.filter((line) => line.startsWith("n "))).toEqual([])
    const later = await app.push(noisy, {}, { runAt: "in 300ms" })
    const events = await followed(later)
    expect(events.map(short)).toContain("hm")
    await until(() => heard.includes(`n ${later.id}`), "news come, also when the job has ended meanwhile")
    expect(heard.filter((line) => line.startsWith("f "))).toContain(`f ${later.id}`)
    expect(new Set(heard.filter((line) => line.startsWith("n ")))).toEqual(new Set([`n ${later.id}`]))
  } finally {
    await listener.query("unlisten *")
    listener.off("notification", hear)
    listener.release()
  }
})

test("lines that the database refuses are given up, and the outcome is saved", async () => {
  const log = collector()
  await using broken = await own.app({ schema: "broken", logger: log })
  const refusing = defineJob({ name: "refusing" })
  await own.worker(broken, { handlers: [refusing.handler((_, job) => job.log("never stored"))] })
  await own.pool.query("alter table broken.job_log_chunks add constraint no check (false) not valid")
  const job = await broken.push(refusing)
  expect(await ended(broken, job)).toMatchObject({ state: "succeeded" })
  expect(log.lines).toContainEqual(
    expect.objectContaining({ level: "error", message: "lines of jobs could not be stored" }),
  )
})

test("lines and outcomes are stored once, though connections die meanwhile", async () => {
  const tossed = defineJob<number>({ name: "tossed", queue: "tossed" })
  await using fragile = await own.app({ migrate: false })
  await using _worker = await own.worker(fragile, {
    lease: "60s",
    handlers: [tossed.handler((n, job) => (job.log(`a ${n}`), job.log(`b ${n}`)))],
  })
  const jobs = await app.pushMany(tossed, range(5_000))
  for (let kills = 0; kills < 8; kills++) {
    await until(async () => {
      const { rows } = await own.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and state = 'active' and query like '%"log_1"%' and pid <> pg_backend_pid() limit 1`,
      )
      return rows.length > 0
    }, "a connection that stores lines is cut")
  }
  await app.wait(jobs, { timeout: "20s" })
  const { rows } = await own.pool.query<{ count: number; jobs: number }>(
    `select sum(c.count)::int as count, count(distinct c.job_id)::int as jobs
     from millrace.job_log_chunks c join millrace.jobs_history h on h.id = c.job_id where h.queue = 'tossed'`,
  )
  expect(rows).toEqual([{ count: 10_000, jobs: 5_000 }])
})

import { defineJob, type Millrace, type RunningJob } from "millrace"
import { Worker } from "millrace/worker"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, type Fixture } from "../support/app.ts"
import { atOnce, ended, range } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

test("a handler gets its payload and a job that says what it is", async () => {
  const look = defineJob<{ a: number }, unknown>({ name: "look", maxAttempts: 7 })
  await using worker = await own.worker(app, {
    handlers: [
      look.handler((payload, job) => {
        const { id, name, queue, attempt, maxAttempts, crashes, claims, tags, meta, remaining } = job
        return {
          payload,
          id,
          name,
          queue,
          attempt,
          maxAttempts,
          crashes,
          claims,
          tags,
          meta,
          remaining: remaining ?? "none",
        }
      }),
    ],
  })
  const job = await app.push(look, { a: 1 }, { tags: ["x", "y"], meta: { from: "test" } })
  expect(await job.result({ timeout: "10s" })).toEqual({
    payload: { a: 1 },
    id: job.id,
    name: "look",
    queue: "default",
    attempt: 1,
    maxAttempts: 7,
    crashes: 0,
    claims: 1,
    tags: ["x", "y"],
    meta: { from: "test" },
    remaining: "none",
  })
  expect(worker.running).toBe(0)
})

test("a job without tags and meta has none of them, and a signal that has not fired", async () => {
  const bare = defineJob<undefined, unknown>({ name: "bare" })
  await using _worker = await own.worker(app, {
    handlers: [
      bare.handler((payload, job) => ({ payload, tags: job.tags, meta: job.meta, fired: job.signal.aborted })),
    ],
  })
  const job = await app.push(bare)
  expect(await job.result({ timeout: "10s" })).toEqual({ payload: null, tags: [], meta: {}, fired: false })
})

test("attempts count up with each failure, and claims with each claim, also after a retry from the history", async () => {
  const seen: { attempt: number; claims: number }[] = []
  const flaky = defineJob<undefined, string>({ name: "flaky", maxAttempts: 2, backoff: atOnce })
  await using _worker = await own.worker(app, {
    handlers: [
      flaky.handler((_, { attempt, claims }) => {
        seen.push({ attempt, claims })
        if (seen.length < 3) throw new Error("not yet")
        return "done"
      }),
    ],
  })
  const job = await app.push(flaky)
  expect((await ended(app, job)).state).toBe("failed")
  await job.retry()
  expect(await job.result({ timeout: "10s" })).toBe("done")
  expect(seen).toEqual([
    { attempt: 1, claims: 1 },
    { attempt: 2, claims: 2 },
    { attempt: 1, claims: 3 },
  ])
})

test("what a handler writes to meta is saved, also when it fails, and the next attempt sees it", async () => {
  const noting = defineJob<undefined, unknown>({ name: "noting", maxAttempts: 3, backoff: atOnce })
  await using _worker = await own.worker(app, {
    handlers: [
      noting.handler((_, job) => {
        job.meta[`attempt${job.attempt}`] = true
        if (job.attempt < 3) throw new Error("again")
        return { ...job.meta }
      }),
    ],
  })
  const job = await app.push(noting, undefined, { meta: { given: 1 } })
  const { state, result, meta } = await ended(app, job)
  expect(state).toBe("succeeded")
  expect(meta).toEqual({ given: 1, attempt1: true, attempt2: true, attempt3: true })
  expect(result).toEqual(meta)
})

test("meta written by a job that fails for good stands in the history", async () => {
  const failing = defineJob({ name: "failing-with-meta", maxAttempts: 1 })
  await using _worker = await own.worker(app, {
    handlers: [
      failing.handler((_, job) => {
        job.meta.reached = "the middle"
        throw new Error("stop here")
      }),
    ],
  })
  const { state, meta } = await ended(app, await app.push(failing))
  expect({ state, meta }).toEqual({ state: "failed", meta: { reached: "the middle" } })
})

test("a handler may delete what is in meta", async () => {
  const deleting = defineJob({ name: "deleting" })
  await using _worker = await own.worker(app, { handlers: [deleting.handler((_, job) => void delete job.meta.old)] })
  const { meta } = await ended(app, await app.push(deleting, {}, { meta: { old: 1, kept: 2 } }))
  expect(meta).toEqual({ kept: 2 })
})

test("a job stored under an alias runs, and keeps the name that it was stored under", async () => {
  const before = defineJob<undefined, string>({ name: "before" })
  const after = defineJob<undefined, string>({ name: "after", aliases: ["before", "long-before"] })
  await using _worker = await own.worker(app, { handlers: [after.handler((_, job) => job.name)] })
  expect(await (await app.push(before)).result({ timeout: "10s" })).toBe("before")
  expect(await (await app.push(after)).result({ timeout: "10s" })).toBe("after")
})

test("two handlers for one name are refused, aliases included", () => {
  const one = defineJob({ name: "one" })
  const other = defineJob({ name: "other", aliases: ["one"] })
  const handlers = [one.handler(() => {}), one.handler(() => {})]
  expect(() => new Worker(app, { handlers })).toThrow(expect.objectContaining({ code: "MILLRACE_DUPLICATE_HANDLER" }))
  const clashing = [one.handler(() => {}), other.handler(() => {})]
  expect(() => new Worker(app, { handlers: clashing })).toThrow(
    expect.objectContaining({ code: "MILLRACE_DUPLICATE_HANDLER" }),
  )
})

test("what is not a handler is refused", () => {
  expect(() => new Worker(app, { handlers: [{} as never] })).toThrow(
    expect.objectContaining({ code: "MILLRACE_BAD_OPTION" }),
  )
})

test("synchronous, asynchronous and thenable handlers all count by what they give in the end", async () => {
  const give = defineJob<string, unknown>({ name: "give" })
  // oxlint-disable-next-line unicorn/no-thenable -- a query builder, say
  const thenable = { then: (resolve: (value: string) => void) => resolve("thenable") }
  const ways: Record<string, () => unknown> = {
    sync: () => "sync",
    async: async () => "async",
    thenable: () => thenable,
  }
  await using _worker = await own.worker(app, { handlers: [give.handler((way) => ways[way]!())] })
  const jobs = await app.pushMany(give, ["sync", "async", "thenable"])
  expect(await Promise.all(jobs.map((job) => job.result({ timeout: "10s" })))).toEqual(["sync", "async", "thenable"])
})

test("handlers of one worker run at the same time", async () => {
  const meet = defineJob<number>({ name: "meet" })
  const here: RunningJob[] = []
  let release!: () => void
  const all = new Promise<void>((resolve) => (release = resolve))
  await using _worker = await own.worker(app, {
    handlers: [
      meet.handler(async (_, job) => {
        if (here.push(job) === 10) release()
        await all
      }),
    ],
  })
  const jobs = await app.pushMany(meet, range(10))
  const records = await app.wait(jobs, { timeout: "20s" })
  expect(records.map(({ state }) => state)).toEqual(Array(10).fill("succeeded"))
})

test("the record names the worker that ran the job, and when", async () => {
  const plain = defineJob({ name: "plain" })
  await using worker = await own.worker(app, { id: "the-one", handlers: [plain.handler(() => {})] })
  const record = await ended(app, await app.push(plain))
  expect(record.worker).toBe(worker.id)
  expect(record.startedAt!.getTime()).toBeGreaterThanOrEqual(record.createdAt.getTime())
  expect(record.finishedAt!.getTime()).toBeGreaterThanOrEqual(record.startedAt!.getTime())
})

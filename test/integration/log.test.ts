import { defineJob, type Logger } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { collector, fixture, until, type Fixture } from "../support/app.ts"
import { ended, raise } from "../support/worker-fixture.ts"

let own: Fixture
beforeAll(async () => {
  own = await fixture()
  await own.app()
})
afterAll(() => own.close())

const fine = defineJob<undefined, string>({ name: "fine" })
const bad = defineJob({ name: "bad", maxAttempts: 1 })
const handlers = [fine.handler(() => "ran"), bad.handler(() => raise(new Error("not my day")))]

test("a logger of one's own hears of start, stop, and jobs that failed for good", async () => {
  const log = collector()
  const app = await own.app({ logger: log })
  const worker = await own.worker(app, { id: "talkative", handlers })
  expect(log.lines).toContainEqual({
    level: "info",
    message: "worker talkative started",
    fields: { queues: ["default"], handlers: 2 },
  })
  const job = await app.push(bad)
  await ended(app, job)
  expect(log.lines).toContainEqual({
    level: "warn",
    message: `job ${job.id} ("bad") failed for good`,
    fields: { error: "not my day", attempt: 1 },
  })
  await worker.stop()
  expect(log.lines.at(-1)).toMatchObject({ level: "info", message: "worker talkative stopped" })
})

test("a job that succeeds is not worth a line above debug", async () => {
  const log = collector()
  const app = await own.app({ logger: log })
  await using _worker = await own.worker(app, { handlers })
  const before = log.lines.length
  await ended(app, await app.push(fine))
  expect(log.lines.slice(before).filter(({ level }) => level !== "debug")).toEqual([])
})

test("a logger that throws harms nothing", async () => {
  let calls = 0
  const broken = () => {
    calls += 1
    raise(new Error("the disk is full"))
  }
  const app = await own.app({ logger: { debug: broken, info: broken, warn: broken, error: broken } })
  const worker = await own.worker(app, { handlers })
  expect(await ended(app, await app.push(bad))).toMatchObject({ state: "failed" })
  expect(await (await app.push(fine)).result({ timeout: "20s" })).toBe("ran")
  expect(await worker.stop()).toBe(true)
  expect(calls).toBeGreaterThan(2)
})

test("a logger whose methods need their object is called on it", async () => {
  class Lines implements Logger {
    readonly #lines: string[] = []
    debug(): void {}
    info(message: string): void {
      this.#lines.push(message)
    }
    warn(): void {}
    error(): void {}
    get lines(): readonly string[] {
      return this.#lines
    }
  }
  const lines = new Lines()
  const app = await own.app({ logger: lines })
  const worker = await own.worker(app, { id: "bound", handlers })
  await worker.stop()
  expect(lines.lines).toEqual(["worker bound started", "worker bound stopped"])
})

test("without a logger nothing is written to the console", async () => {
  const written: unknown[] = []
  const { info, warn, error } = console
  const keep = (...line: unknown[]) => void written.push(line)
  Object.assign(console, { info: keep, warn: keep, error: keep })
  try {
    const app = await own.app({ logger: false })
    const worker = await own.worker(app, { handlers })
    await ended(app, await app.push(bad))
    await worker.stop()
  } finally {
    Object.assign(console, { info, warn, error })
  }
  expect(written).toEqual([])
})

test("the console is told by default, one line each, with the app's name", async () => {
  const written: string[] = []
  const { info, warn, error } = console
  const keep = (line: string) => void written.push(line)
  Object.assign(console, { info: keep, warn: keep, error: keep })
  try {
    const app = await own.app({ name: "shop", logger: undefined } as never)
    const worker = await own.worker(app, { id: "loud", handlers })
    const job = await app.push(bad)
    await ended(app, job)
    await worker.stop()
    await until(() => written.some((line) => line.includes("stopped")), "it has said so")
    expect(written[0]).toBe(`shop worker loud started {"queues":["default"],"handlers":2}`)
    expect(written).toContain(`shop job ${job.id} ("bad") failed for good {"error":"not my day","attempt":1}`)
    expect(written.every((line) => !line.includes("\n"))).toBe(true)
  } finally {
    Object.assign(console, { info, warn, error })
  }
})

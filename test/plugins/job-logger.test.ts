import { configure, getLogger, reset, type LogRecord } from "@logtape/logtape"
import { cancel, defineJob, snooze } from "millrace"
import { jobLogger } from "millrace/worker"
import { pino } from "pino"
import { expect, onTestFinished, test } from "vitest"
import type { collector } from "../support/app.ts"
import { startApp, until } from "../support/start-app.ts"

const work = defineJob<{ do: string; secret?: string }>({ name: "work", maxAttempts: 2, backoff: { initial: 0 } })
const handlers = [
  work.handler(({ do: what }) => {
    if (what === "fail") throw Object.assign(new TypeError("broken"), { code: "E_BROKEN" })
    if (what === "snooze") return snooze("1h")
    return what === "cancel" ? cancel("not wanted") : undefined
  }),
]

/** Lines about jobs, as `[level, event, fields]`. */
const jobLines = (log: ReturnType<typeof collector>) =>
  log.lines.flatMap(({ level, fields }) => {
    const { event, ...rest } = (fields ?? {}) as { event?: string }
    return event?.startsWith("job.") ? [[level, event, rest] as const] : []
  })

test("each event of a job is one line with what belongs to it, and without its payload", async () => {
  const { app, addWorker, log } = await startApp({ worker: false, app: { plugins: [jobLogger()] } })
  await addWorker({ handlers })
  const job = await app.push(work, { do: "fail", secret: "s3cret" })
  await app.wait([job], { timeout: "10s" })
  await until(() => jobLines(log).length === 4)
  const about = { id: job.id, name: "work", queue: "default", maxAttempts: 2 }
  const ran = { durationMs: expect.any(Number), error: { name: "TypeError", message: "broken", code: "E_BROKEN" } }
  expect(jobLines(log)).toEqual([
    ["info", "job.started", { ...about, attempt: 1 }],
    ["warn", "job.retrying", { ...about, attempt: 1, ...ran }],
    ["info", "job.started", { ...about, attempt: 2 }],
    ["error", "job.failed", { ...about, attempt: 2, ...ran }],
  ])
  expect(JSON.stringify(log.lines)).not.toContain("s3cret")
})

test("success, snoozing and cancelling have lines of their own; jobs that never started have no duration", async () => {
  const { app, addWorker, log } = await startApp({
    worker: false,
    app: { plugins: [jobLogger({ level: "debug", events: ["succeeded", "snoozed", "cancelled"] })] },
  })
  await addWorker({ handlers })
  await app.wait([await app.push(work, { do: "well" })], { timeout: "10s" })
  await app.wait([await app.push(work, { do: "snooze" })], { states: ["scheduled"], timeout: "10s" })
  await app.wait([await app.push(work, { do: "cancel" })], { timeout: "10s" })
  await app.wait([await app.push(work, { do: "well" }, { expiresAt: new Date(0) })], { timeout: "10s" })
  await until(() => jobLines(log).length === 4)
  expect(jobLines(log).map(([level, event, fields]) => [level, event, "durationMs" in fields])).toEqual([
    ["debug", "job.succeeded", true],
    ["debug", "job.snoozed", true],
    ["debug", "job.cancelled", true],
    ["debug", "job.cancelled", false],
  ])
})

test("batches have lines for each of their jobs, and payloads go along when asked for", async () => {
  const many = defineJob<number>({ name: "many" })
  const { app, addWorker, log } = await startApp({ worker: false, app: { plugins: [jobLogger({ args: true })] } })
  await addWorker({ handlers: [many.batch({ size: 10 }, () => {})] })
  await app.wait(await app.pushMany(many, [1, 2]), { timeout: "10s" })
  await until(() => jobLines(log).length === 4)
  const started = jobLines(log).filter(([, event]) => event === "job.started")
  expect(started.map(([, , fields]) => (fields as { args?: unknown }).args)).toEqual([1, 2])
})

test("on a worker of its own nothing is lost that runs before its plugins start", async () => {
  const { app, addWorker, log } = await startApp({ worker: false })
  const job = await app.push(work, { do: "well" })
  await addWorker({ handlers, plugins: [jobLogger({ events: ["started"] })] })
  await app.wait([job], { timeout: "10s" })
  await until(() => jobLines(log).length === 1)
})

test("pino gets message and fields as it wants them, as the app's logger and as the plugin's", async () => {
  const written: Record<string, unknown>[] = []
  const logger = pino(
    { level: "debug" },
    { write: (line: string) => void written.push(JSON.parse(line) as Record<string, unknown>) },
  )
  const plugins = [
    jobLogger(),
    jobLogger({ name: "second", logger: logger.child({ child: true }), events: ["failed"] }),
  ]
  const { app, addWorker } = await startApp({ worker: false, app: { logger, plugins } })
  const worker = await addWorker({ handlers })
  await app.wait([await app.push(work, { do: "fail" }, { maxAttempts: 1 })], { timeout: "10s" })
  await until(() => written.some(({ child }) => child === true))
  expect(written).toContainEqual(
    expect.objectContaining({ level: 30, msg: `worker ${worker.id} started`, queues: ["default"] }),
  )
  for (const child of [undefined, true]) {
    const lines = written.filter((line) => line.event === "job.failed" && line.child === child)
    expect(lines).toMatchObject([
      { level: 50, msg: "job failed", name: "work", attempt: 1, error: { code: "E_BROKEN" } },
    ])
  }
})

test("LogTape gets message and properties", async () => {
  const records: LogRecord[] = []
  await configure({
    sinks: { memory: (record) => void records.push(record) },
    loggers: [
      { category: "jobs", lowestLevel: "debug", sinks: ["memory"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["memory"] },
    ],
  })
  onTestFinished(() => reset())
  const logger = getLogger(["jobs"])
  const { app, addWorker } = await startApp({ worker: false, app: { logger, plugins: [jobLogger()] } })
  await addWorker({ handlers })
  await app.wait([await app.push(work, { do: "fail" }, { maxAttempts: 1 })], { timeout: "10s" })
  await until(() => records.some(({ properties }) => properties.event === "job.failed"))
  const failed = records.find(({ properties }) => properties.event === "job.failed")!
  expect(failed).toMatchObject({ level: "error", properties: { name: "work", error: { name: "TypeError" } } })
  expect(failed.message.join("")).toBe("job failed")
})

test("console is a logger as it is; one that throws breaks nothing", async () => {
  const throwing = Object.fromEntries(
    ["debug", "info", "warn", "error"].map((level) => [
      level,
      () => {
        throw new Error("full disk")
      },
    ]),
  ) as unknown as Console
  const lines: string[] = []
  const own = Object.assign(Object.create(console) as Console, {
    error: (...line: unknown[]) => lines.push(line.join(" ")),
  })
  const plugins = [jobLogger({ logger: throwing }), jobLogger({ name: "console", logger: own, events: ["failed"] })]
  const { app, addWorker } = await startApp({ worker: false, app: { logger: throwing, plugins } })
  await addWorker({ handlers })
  const [ended] = await app.wait([await app.push(work, { do: "fail" }, { maxAttempts: 1 })], { timeout: "10s" })
  expect(ended!.state).toBe("failed")
  await until(() => lines.length === 1)
  expect(lines[0]).toMatch(/^job failed/)
})

test("lines of a level that the logger does not keep are not put together; the others come", async () => {
  const written: string[] = []
  const note = (level: string) => (message: string) => void written.push(`${level} ${message}`)
  const logger = {
    debug: note("debug"),
    info: note("info"),
    warn: note("warn"),
    error: note("error"),
    isLevelEnabled: (level: string) => level !== "debug",
  }
  const { app, addWorker } = await startApp({
    worker: false,
    app: { plugins: [jobLogger({ logger, level: "debug" })] },
  })
  await addWorker({ handlers })
  await app.wait([await app.push(work, { do: "nothing" }), await app.push(work, { do: "fail" })], { timeout: "10s" })
  await until(() => written.includes("error job failed"))
  expect(written).toEqual(["warn job retrying", "error job failed"])
})

test("options that do not fit are refused", () => {
  expect(() => jobLogger({ logger: {} } as never)).toThrow(/must be an object with debug, info, warn and error/)
  expect(() => jobLogger({ events: ["begun"] } as never)).toThrow(/jobLogger.events/)
  expect(() => jobLogger({ payload: true } as never)).toThrow(/It is called "args" here/)
})

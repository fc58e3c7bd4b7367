import fs from "node:fs"
import os from "node:os"
import { fileURLToPath } from "node:url"
import { defineJob, type QueueOptions } from "millrace"
import { commandExecutor } from "millrace/worker"
import { describe, expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"
import { conformance, scratchFile, written } from "./conformance.ts"

const program = fileURLToPath(new URL("./command-job.mjs", import.meta.url))
const run = defineJob<Record<string, unknown>, unknown>({
  name: "run",
  queue: "work",
  maxAttempts: 1,
  backoff: { initial: 0 },
})
const executors = { command: commandExecutor() }
const executorOptions = { program: process.execPath, args: [program] }
const queue = { executor: "command", executorOptions } as const

const start = (options: Record<string, unknown> = {}, more: Partial<QueueOptions> = {}) =>
  startApp({
    queues: [{ ...queue, ...more, name: "work", executorOptions: { ...executorOptions, ...options } }],
    executors,
  })

describe("command", () => {
  conformance({
    queue,
    worker: { executors },
    push: (app, what, file) => app.push(run, { do: what, file }, { maxAttempts: what === "fail" ? 2 : 1 }),
    result: "told to succeed",
    hardStop: true,
  })

  test("it is off unless registered: the queue is left to others", async () => {
    const { log, worker } = await startApp({ queues: [{ ...queue, name: "work" }] })
    expect(worker.queues).toEqual(["default"])
    expect(log.lines).toContainEqual(
      expect.objectContaining({ fields: { code: "MILLRACE_NO_EXECUTOR", known: ["async", "thread", "process"] } }),
    )
  })

  test("the program reads its job as JSON", async () => {
    const { app } = await start({}, { timeout: "1m" })
    const job = await app.push(run, { do: "job", deep: [1, { a: "ü" }] }, { meta: { m: 1 }, tags: ["t"] })
    expect(await job.result({ timeout: "20s" })).toEqual({
      id: job.id,
      name: "run",
      queue: "work",
      attempt: 1,
      maxAttempts: 1,
      crashes: 0,
      claims: 1,
      tags: ["t"],
      timeout: 60_000,
      meta: { m: 1 },
      payload: { do: "job", deep: [1, { a: "ü" }] },
    })
  })

  test("its environment is what the queue says, and nothing of the worker's", async () => {
    const { app } = await start({ env: { ONE: "1" }, passEnv: ["HOME", "MILLRACE_NO_SUCH_VARIABLE"] })
    const seen = await (await app.push(run, { do: "env" })).result({ timeout: "20s" })
    expect(seen).toEqual({ ONE: "1", HOME: process.env.HOME })
  })

  test("arguments go as they are, and the folder is the queue's", async () => {
    const cwd = fs.realpathSync(os.tmpdir())
    const args = [program, "$HOME; rm -rf /", "*"]
    const { app } = await start({ args, cwd })
    expect(await (await app.push(run, { do: "argv" })).result({ timeout: "20s" })).toEqual([args.slice(1), cwd])
  })

  test("lines of its standard error are the job's log", async () => {
    const { app } = await start()
    const job = await app.push(run, { do: "log" })
    expect(await job.result({ timeout: "20s" })).toBeUndefined()
    expect((await job.logs()).map(({ message }) => message)).toEqual(["first line", "second line"])
  })

  test.each([
    [{ result: { a: 1 } }, { state: "succeeded", result: { a: 1 } }],
    [
      { result: 1, meta: { seen: true } },
      { state: "succeeded", meta: { kept: 1, seen: true } },
    ],
    [{ error: "no" }, { state: "failed", errors: [{ message: "no" }] }],
    [
      { error: { name: "Bad", message: "no", code: "E_NO" } },
      { state: "failed", errors: [{ name: "Bad", code: "E_NO" }] },
    ],
    [{ cancel: "not today" }, { state: "cancelled", errors: [{ message: "not today" }] }],
    [{ discard: "never" }, { state: "failed", errors: [{ message: "never" }] }],
    [
      { retry: "again", after: "1h" },
      { state: "retrying", errors: [{ message: "again" }] },
    ],
    [{ snooze: "1h" }, { state: "scheduled", attempts: 0 }],
  ])("what it prints is the outcome: %j", async (outcome, expected) => {
    const { app } = await start()
    const maxAttempts = "retry" in outcome ? 2 : 1
    const job = await app.push(run, { do: "outcome", outcome }, { maxAttempts, meta: { kept: 1 } })
    expect(await app.wait([job], { states: ["scheduled", "retrying"], timeout: "20s" })).toMatchObject([expected])
  })

  test.each(["garbage", "[1]", '"text"', "null", '{"resutl":1}', '{"snooze":"soon"}'])(
    "what is no outcome is an error that shows one: %s",
    async (text) => {
      const { app } = await start()
      const job = await app.push(run, { do: "say", text })
      const [record] = await app.wait([job], { timeout: "20s" })
      expect(record).toMatchObject({ state: "failed", errors: [{ code: "MILLRACE_COMMAND_FAILED" }] })
      expect(record!.errors[0]!.message).toMatch(/"result"/)
    },
  )

  test("where only the exit status counts, output is free", async () => {
    const { app } = await start({ outcome: "status" })
    const good = await app.push(run, { do: "say", text: "garbage" })
    expect(await good.result({ timeout: "20s" })).toBeUndefined()
    const bad = await app.push(run, { do: "status", status: 3 })
    expect(await app.wait([bad], { timeout: "20s" })).toMatchObject([
      { state: "failed", errors: [{ code: "MILLRACE_COMMAND_FAILED", message: expect.stringContaining("status 3") }] },
    ])
  })

  test("more output than is read ends it", async () => {
    const { app } = await start({ maxOutput: 1_000 })
    const job = await app.push(run, { do: "flood" })
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([
      {
        state: "failed",
        errors: [{ code: "MILLRACE_COMMAND_FAILED", message: expect.stringContaining("1000 bytes") }],
      },
    ])
  })

  test("what it started is stopped with it", async () => {
    const { app } = await start({ killAfter: "50ms" })
    const file = scratchFile()
    const job = await app.push(run, { do: "family", file })
    await until(() => Number(written(file)) > 0)
    await job.cancel()
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([{ state: "cancelled" }])
    const last = written(file)
    await (await app.push(run, { do: "succeed" })).result({ timeout: "20s" })
    expect(written(file)).toBe(last)
  })

  test("a program that is not there leaves the queue alone, and is told", async () => {
    await expect(start({ program: "no-such-program" })).rejects.toMatchObject({ code: "MILLRACE_EXECUTOR_START" })
    const { app } = await start({ program: "/no/such/program" })
    const job = await app.push(run, {})
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([
      { state: "failed", errors: [{ code: "MILLRACE_EXECUTOR_START", message: expect.stringContaining("ENOENT") }] },
    ])
  })

  test("a worker may allow certain programs only", async () => {
    const only = { executors: { command: commandExecutor({ programs: ["ffmpeg"] }) } }
    await expect(startApp({ queues: [{ ...queue, name: "work" }], ...only })).rejects.toMatchObject({
      code: "MILLRACE_BAD_OPTION",
      message: expect.stringMatching(/does not allow.*ffmpeg/),
    })
  })
})

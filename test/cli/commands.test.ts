import { Millrace, type JobRecord } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import { appModule, millrace, start } from "./program.ts"

let database: TestDatabase
let env: Record<string, string>
beforeAll(async () => {
  database = await testDatabase()
  env = { DATABASE_URL: database.url }
  await using app = new Millrace({ dsn: database.url, logger: false })
  await app.migrate()
})
afterAll(() => database.close())

const json = <T>(text: string): T => JSON.parse(text) as T

/** A worker of the example's module, stopped when the test ends. */
async function runningWorker(id: string) {
  const worker = start(["worker", "--app", appModule, "--id", id, "--tag", "has=gpu"], env)
  await until(`worker ${id} is there`, async () =>
    (await millrace(["workers", "--json"], env)).stdout.includes(`"${id}"`),
  )
  return worker
}

test("a job is pushed, followed, fails, is read about, is retried, and is deleted", async () => {
  const worker = await runningWorker("cli-1")
  const good = await millrace(["job", "push", "greet", '{"name":"Ada"}', "--app", appModule, "--follow"], env)
  expect(good.stderr).toBe("")
  expect(good.stdout).toMatch(/step 1 of 3 \{"name":"Ada"\}/)
  expect(good.stdout).toMatch(/█{20} 100 %/)
  expect(good.stdout).toMatch(/succeeded[\s\S]*result +\{"text":"hello Ada"\}/)
  expect(good.code).toBe(0)

  const bad = await millrace(["job", "push", "greet", '{"name":"nobody"}', "--json"], env)
  const { id } = json<{ id: string }>(bad.stdout)
  const followed = await millrace(["job", "show", id, "--follow"], env)
  expect(followed.stdout).toMatch(/Error: nobody cannot be greeted/)
  expect(followed.code).toBe(1)

  const listed = await millrace(["job", "list", "--state", "failed", "--error", "nobody", "--json"], env)
  expect(json<{ jobs: JobRecord[] }>(listed.stdout).jobs.map((job) => job.id)).toEqual([id])
  const table = await millrace(["job", "list", "--name", "greet"], env)
  expect(table.stdout.split("\n")[0]).toMatch(/^ID +STATE +NAME +QUEUE +ATTEMPTS +CREATED +PAYLOAD +ERROR$/)
  expect((await millrace(["job", "logs", id], env)).stdout).toMatch(/step 3 of 3/)

  const retried = await millrace(["job", "retry", id], env)
  expect(retried).toMatchObject({ code: 0, stdout: "1 job ready to run again\n" })
  expect((await millrace(["job", "show", id, "--follow"], env)).code).toBe(1)
  expect(await millrace(["job", "delete", id], env)).toMatchObject({ code: 0, stdout: "1 job deleted\n" })

  worker.child.kill("SIGTERM")
  expect((await worker.ended).code).toBe(0)
})

test("bulk commands ask first, need --yes without a terminal, and say what they did", async () => {
  for (const n of [1, 2, 3])
    await millrace(["job", "push", "bulk", String(n), "--queue", "idle", "--priority", "2"], env)
  const asked = await millrace(["job", "cancel", "--queue", "idle"], env)
  expect(asked).toMatchObject({ code: 2, stderr: expect.stringMatching(/Cancel 3 jobs\? Say --yes/) })
  const done = await millrace(["job", "cancel", "--queue", "idle", "--reason", "enough", "--yes", "--json"], env)
  expect(json(done.stdout)).toMatchObject({ matched: 3, changed: 3, refused: 0 })
  const again = await millrace(["job", "cancel", "--queue", "idle", "--yes"], env)
  expect(again.code).toBe(1)
  expect(again.stderr).toMatch(/has finished/)
  expect((await millrace(["job", "delete"], env)).stderr).toMatch(/which jobs\?/)
})

test("ids that do not exist are named, and the exit code says so", async () => {
  const none = "01900000-0000-7000-8000-000000000000"
  for (const command of ["show", "logs", "cancel", "retry", "delete"]) {
    const ended = await millrace(["job", command, none], env)
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining(none) })
  }
  expect((await millrace(["job", "show", "12"], env)).code).toBe(2)
})

test("queues are declared, listed, paused, resumed and deleted", async () => {
  const run = (...args: string[]) => millrace(["queue", ...args], env)
  expect((await run("declare", "media", "--concurrency", "7", "--tag", "has=*")).stdout).toBe("media declared\n")
  expect((await run("declare", "media", "--concurrency", "8")).stdout).toMatch(/stays as it is/)
  expect((await run("declare", "media", "--concurrency", "8", "--upsert")).stdout).toBe("media changed\n")
  expect((await run("pause", "media", "--until", "in 1h")).code).toBe(0)
  expect((await run("list")).stdout).toMatch(/^media +paused, resumes in .* +8 +async +has=\*/m)
  expect((await run("resume", "media")).code).toBe(0)
  await millrace(["job", "push", "x", "--queue", "media"], env)
  const [queue] = json<{ name: string; jobs: unknown }[]>((await run("list", "--json")).stdout).filter(
    (q) => q.name === "media",
  )
  expect(queue).toMatchObject({ concurrency: 8, jobs: { pending: { count: 1, exact: true } } })
  expect((await run("delete", "media", "--jobs", "--yes")).stdout).toBe("media is deleted, with 1 jobs\n")
  expect(await run("pause", "media")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("MILLRACE_UNKNOWN_QUEUE"),
  })
  expect((await run("declare", "^bad$")).code).toBe(2)
})

test("migrate says where the tables are, prints its statements, and goes down and up", async () => {
  const schema = ["--schema", "cli_other"]
  expect(await millrace(["migrate", "status", ...schema], env)).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^at version 0/),
  })
  const { stdout: sql } = await millrace(["migrate", "--sql", ...schema])
  await database.pool.query(sql)
  expect(await millrace(["migrate", "status", ...schema], env)).toMatchObject({ code: 0 })
  expect((await millrace(["migrate", "down", "--yes", ...schema], env)).stdout).toMatch(/to 0/)
  expect((await millrace(["migrate", ...schema], env)).stdout).toMatch(/from version 0/)
  const { needed, current } = json<Record<string, number>>(
    (await millrace(["migrate", "status", "--json", ...schema], env)).stdout,
  )
  expect(current).toBe(needed)
})

test("what cannot be understood is said in one line that says how to mend it, with exit code 2", async () => {
  const cases: [string[], RegExp][] = [
    [["jobs"], /there is no command "jobs"\. Did you mean "job"/],
    [["job", "lst"], /Did you mean "job list"/],
    [["job", "list", "--sate", "failed"], /no option --sate\. Did you mean --state/],
    [["job", "list", "--state", "faild"], /Did you mean "failed"/],
    [["job", "push"], /missing argument: millrace job push NAME/],
    [["job", "push", "x", "{nope"], /not JSON/],
    [["job", "push", "x", "1", "--priority", "high"], /--priority is a whole number/],
    [["worker"], /which app\?/],
    [["worker", "--app", "./no-such-module.ts"], /there is no module/],
  ]
  for (const [args, message] of cases) {
    const { code, stderr } = await millrace(args, env)
    expect({ args, code, stderr }).toMatchObject({ code: 2, stderr: expect.stringMatching(message) })
    expect(stderr.trim().split("\n")).toHaveLength(1)
  }
  expect(await millrace(["job", "list"])).toMatchObject({ code: 2, stderr: expect.stringContaining("DATABASE_URL") })
})

test("a database that cannot be reached, or has no tables, is said to be so, with exit code 1", async () => {
  const unreachable = await millrace(["job", "list", "--dsn", "postgres://127.0.0.1:1/x"])
  expect(unreachable).toMatchObject({ code: 1, stderr: expect.stringContaining("MILLRACE_NOT_CONNECTED") })
  const bare = await millrace(["job", "list", "--schema", "nothing_here"], env)
  expect(bare).toMatchObject({ code: 1, stderr: expect.stringContaining("MILLRACE_NOT_MIGRATED") })
})

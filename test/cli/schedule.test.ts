import { cron, defineJob, Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { millrace } from "./program.ts"

let database: TestDatabase
let env: Record<string, string>
beforeAll(async () => {
  database = await testDatabase()
  env = { DATABASE_URL: database.url }
  const schedules = cron()
  await using app = new Millrace({ dsn: database.url, logger: false, plugins: [schedules] })
  await app.migrate()
  const report = defineJob<string>({ name: "report" })
  await schedules.schedule(report, "x", { key: "daily", cron: "0 9 * * 1-5" })
  await schedules.schedule(report, "y", { key: "often", every: "90s" })
})
afterAll(() => database.close())

test("schedules are listed, paused, resumed, run, looked into and removed", async () => {
  const listed = await millrace(["schedule", "list"], env)
  expect(listed.stdout).toMatch(
    /^KEY +STATUS +RUNS +JOB +LAST +NEXT\ndaily +on +every weekday at 09:00 +report +in .*\noften +on +every 1 m 30 s/,
  )
  expect((await millrace(["schedule", "pause", "daily"], env)).stdout).toBe("daily is paused\n")
  expect((await millrace(["schedule", "list"], env)).stdout).toMatch(/daily +paused/)
  expect((await millrace(["schedule", "resume", "daily"], env)).stdout).toMatch(/^daily runs again, next 2/)
  const run = await millrace(["schedule", "run", "daily", "--json"], env)
  const { job } = JSON.parse(run.stdout) as { job: string }
  expect((await millrace(["schedule", "ticks", "daily"], env)).stdout).toMatch(new RegExp(`run by hand +${job}`))
  expect((await millrace(["schedule", "remove", "daily"], env)).code).toBe(2)
  const removed = await millrace(["schedule", "remove", "daily", "nobody", "--yes"], env)
  expect(removed).toMatchObject({ code: 1, stdout: "daily removed\nthere is no schedule nobody\n" })
  expect(await millrace(["schedule", "run", "daily"], env)).toMatchObject({ code: 1 })
})

test("a preview shows the runs around a change of the clocks", async () => {
  const shown = await millrace(
    ["schedule", "preview", "30 2 * * *", "--zone", "Europe/Berlin", "--after", "2027-03-27T00:00Z", "--count", "2"],
    env,
  )
  expect(shown.stdout).toBe(
    "every day at 02:30, Europe/Berlin\n2027-03-27T02:30:00+01:00  2027-03-27T01:30:00.000Z\n2027-03-28T03:00:00+02:00  2027-03-28T01:00:00.000Z\n",
  )
  expect((await millrace(["schedule", "preview", "61 * * * *"], env)).stderr).toMatch(/Invalid value for minute/)
  expect((await millrace(["schedule", "preview"], env)).code).toBe(2)
})

import { cron, defineJob, defineSchedule, type Cron, type ScheduleOptions } from "millrace"
import { leadership, type Plugin } from "millrace/worker"
import { expect, onTestFinished, test } from "vitest"
import { z } from "zod"
import { rejection } from "../support/app.ts"
import { startApp, until } from "../support/start-app.ts"

const report = defineJob({ name: "report", payload: z.object({ day: z.string() }), queue: "reports" })
const beat = defineJob<{ n: number } | undefined>({ name: "beat" })

/** An app with schedules, and no worker. */
async function withCron(plugin: Cron = cron(), more: readonly Plugin[] = []) {
  const started = await startApp({ worker: false, app: { plugins: [plugin, ...more] } })
  return { ...started, schedules: plugin }
}

const daily: ScheduleOptions = { key: "daily", cron: "0 9 * * 1-5", zone: "Europe/Berlin" }

test("a schedule stands in the database with its defaults, its next run and its words", async () => {
  const { app, schedules } = await withCron()
  const made = await schedules.schedule(report, { day: "today" }, { ...daily, push: { priority: 7 } })
  expect(made).toMatchObject({
    key: "daily",
    job: "report",
    queue: "reports",
    payload: { day: "today" },
    cron: "0 9 * * 1-5",
    every: undefined,
    zone: "Europe/Berlin",
    description: "every weekday at 09:00, Europe/Berlin",
    jitter: 0,
    overlap: "skip",
    missed: "once",
    enabled: true,
    owner: undefined,
    lastAt: undefined,
    problem: undefined,
  })
  expect(made.nextAt!.getTime()).toBeGreaterThan(made.createdAt.getTime())
  expect(await schedules.list()).toEqual([made])
  expect(await schedules.get("daily")).toEqual(made)
  expect(await schedules.get("nightly")).toBeUndefined()
  expect(app.plugin("cron")).toBe(schedules)
  const interval = await schedules.schedule(beat, undefined, { key: "beat", every: "90s" })
  expect(interval).toMatchObject({ every: 90_000, cron: undefined, zone: "UTC", description: "every 1 m 30 s" })
  expect(interval.nextAt!.getTime() % 90_000).toBe(0)
  expect(await schedules.unschedule(["daily", "nightly"])).toEqual(["daily"])
  expect((await schedules.list()).map(({ key }) => key)).toEqual(["beat"])
})

test("a schedule that nobody fires is told as missed, and one that is paused or not yet due is not", async () => {
  const { schedules, sql } = await withCron()
  await schedules.schedule(report, { day: "x" }, daily)
  await schedules.schedule(beat, undefined, { key: "late", every: "90s" })
  await schedules.schedule(beat, undefined, { key: "paused", every: "90s" })
  await schedules.pause("paused")
  expect(await schedules.missed(0)).toEqual([])
  await sql("update $schema.schedules set run_at = now() - interval '10 minutes' where key <> 'daily'")
  expect(await schedules.missed(60_000)).toEqual([{ key: "late", lateMs: expect.any(Number) }])
  expect((await schedules.missed(60_000))[0]!.lateMs).toBeGreaterThanOrEqual(600_000)
  expect(await schedules.missed(3_600_000)).toEqual([])
})

test("schedules are made, read and removed in the caller's transaction", async () => {
  const { schedules, url } = await withCron()
  const { default: pg } = await import("pg")
  const client = new pg.Client(url)
  await client.connect()
  onTestFinished(() => client.end())
  await client.query("begin")
  await schedules.schedule(report, { day: "x" }, { ...daily, tx: client })
  expect(await schedules.list({ tx: client })).toHaveLength(1)
  expect(await schedules.list()).toEqual([])
  await client.query("rollback")
  await schedules.schedule(report, { day: "x" }, daily)
  await client.query("begin")
  expect(await schedules.unschedule("daily", { tx: client })).toEqual(["daily"])
  expect((await schedules.get("daily"))!.key).toBe("daily")
  await client.query("commit")
  expect(await schedules.list()).toEqual([])
})

test("a tick pushes its job, once for all workers, and both are in the history", async () => {
  const seen: unknown[] = []
  const { app, addWorker, schedules } = await withCron()
  const fired = app.hub.waitFor("schedule.fired", { timeout: "20s" })
  const handlers = [
    beat.handler((payload, job) => {
      seen.push([payload, job.meta.schedule])
    }),
  ]
  await Promise.all([addWorker({ handlers }), addWorker({ handlers }), addWorker({ handlers })])
  await schedules.schedule(beat, { n: 1 }, { key: "beat", every: "1s", overlap: "allow" })
  const { body } = await fired
  await until(() => seen.length >= 3)
  await schedules.pause("beat")
  const ticks = await schedules.ticks("beat", { limit: 1_000 })
  const jobs = ticks.map(({ job }) => job)
  expect(new Set(jobs).size).toBe(ticks.length)
  expect(ticks.every(({ outcome, missed, manual }) => outcome === "pushed" && missed === 0 && !manual)).toBe(true)
  expect(ticks.map(({ at }) => at.toISOString())).toContain(body.at)
  expect(seen[0]).toEqual([{ n: 1 }, { key: "beat", at: expect.stringMatching(/:\d\d\.000Z$/) as string }])
  const { lastAt, lastJob, nextAt } = (await schedules.get("beat"))!
  expect([lastAt, lastJob, nextAt]).toEqual([ticks[0]!.at, ticks[0]!.job, undefined])
})

test("workers that all believe to lead, without notifications, push one job per tick", async () => {
  const plugin = cron({ every: "200ms" })
  const { addWorker } = await startApp({ worker: false, app: { plugins: [plugin], notifications: false } })
  await plugin.schedule(beat, undefined, { key: "beat", every: "1s", missed: "all" })
  await Promise.all([1, 2, 3].map(() => addWorker({ plugins: [leadership({ mode: "always" })] })))
  await until(async () => (await plugin.ticks("beat")).length >= 3)
  await plugin.pause("beat")
  const ticks = await plugin.ticks("beat", { limit: 1_000 })
  expect(new Set(ticks.map(({ job }) => job)).size).toBe(ticks.length)
  const gaps = ticks.slice(1).map(({ at }, index) => ticks[index]!.at.getTime() - at.getTime())
  expect(new Set(gaps)).toEqual(new Set([1_000]))
})

test("a schedule whose end has come has nothing next", async () => {
  const { schedules, addWorker, sql } = await withCron()
  const [{ end } = { end: new Date() }] = await sql<{ end: Date }>(
    "select date_trunc('second', now()) + interval '2 s' as end",
  )
  await schedules.schedule(beat, undefined, { key: "beat", every: "1s", end, missed: "all" })
  await addWorker()
  await until(async () => (await schedules.get("beat"))!.nextAt === undefined)
  expect((await schedules.get("beat"))!.lastAt).toEqual(end)
})

test("a paused schedule does not run; a resumed one does not make up for the pause; run now works either way", async () => {
  const { sql, schedules, addWorker, app } = await withCron()
  await schedules.schedule(beat, undefined, { key: "beat", every: "1h", missed: "all" })
  expect(await schedules.pause("beat")).toMatchObject({ enabled: false, nextAt: undefined })
  await sql("update $schema.schedules set next_at = now() - interval '5 hours', run_at = now() - interval '5 hours'")
  await addWorker({ handlers: [beat.handler(() => {})] })
  const job = await schedules.runNow("beat")
  await app.wait([app.job(job)], { timeout: "20s" })
  const resumed = await schedules.resume("beat")
  expect(resumed).toMatchObject({ enabled: true, lastJob: job })
  expect(resumed.nextAt!.getTime()).toBeGreaterThan(Date.now() - 60_000)
  expect(await schedules.ticks("beat")).toMatchObject([{ job, manual: true, outcome: "pushed" }])
  expect(await schedules.resume("beat")).toEqual(resumed)
})

test("the schedules of the code are added, changed and removed; those made at run time, and edits, stay", async () => {
  const first = cron({
    schedules: [
      defineSchedule(report, { day: "a" }, { key: "a", cron: "0 1 * * *" }),
      defineSchedule(report, { day: "b" }, { key: "b", cron: "0 2 * * *" }),
      defineSchedule(report, { day: "c" }, { key: "c", cron: "0 3 * * *" }),
    ],
  })
  const { addApp, schedules } = await withCron(first)
  await schedules.schedule(report, { day: "own" }, { key: "own", cron: "0 4 * * *" })
  expect(await first.sync()).toEqual({ stored: ["a", "b", "c"], removed: [], failed: {} })
  expect(await first.sync()).toEqual({ stored: [], removed: [], failed: {} })
  await schedules.schedule(report, { day: "a" }, { key: "a", cron: "30 1 * * *" })
  await schedules.pause("b")
  const second = cron({
    schedules: [
      defineSchedule(report, { day: "a" }, { key: "a", cron: "0 1 * * *" }),
      defineSchedule(report, { day: "b2" }, { key: "b", cron: "0 2 * * *" }),
    ],
  })
  addApp({ plugins: [second] })
  expect(await second.sync()).toEqual({ stored: ["b"], removed: ["c"], failed: {} })
  expect(
    (await second.list()).map(({ key, owner, cron: at, payload, enabled }) => [key, owner, at, payload, enabled]),
  ).toEqual([
    ["a", "code", "30 1 * * *", { day: "a" }, true],
    ["b", "code", "0 2 * * *", { day: "b2" }, false],
    ["own", undefined, "0 4 * * *", { day: "own" }, true],
  ])
})

test("a worker makes the schedules of the code so when it starts", async () => {
  const plugin = cron({ schedules: [defineSchedule(beat, undefined, { key: "beat", cron: "@hourly" })] })
  const { addWorker } = await withCron(plugin)
  const worker = await addWorker()
  await until(async () => (await plugin.get("beat")) !== undefined)
  expect(worker.health().plugins.find(({ name }) => name === "cron")).toMatchObject({ crashes: 0, problems: [] })
})

test("one schedule of the code that is refused, or is over, keeps no other from being made", async () => {
  const plugin = cron({
    schedules: [
      defineSchedule(report, { day: 1 } as never, { key: "refused", cron: "@daily" }),
      defineSchedule(report, { day: "x" }, { key: "over", cron: "@daily", end: "2020-01-01" }),
      defineSchedule(report, { day: "x" }, { key: "fine", cron: "@daily" }),
    ],
  })
  const { addWorker } = await withCron(plugin)
  const worker = await addWorker()
  await until(async () => (await plugin.list()).length === 2)
  const [fine, over] = await plugin.list()
  expect([fine!.key, over!.key, over!.nextAt]).toEqual(["fine", "over", undefined])
  await until(() => worker.health().plugins.find(({ name }) => name === "cron")!.state === "running")
  expect(worker.health().plugins.find(({ name }) => name === "cron")!.problems).toEqual([
    expect.stringMatching(/^schedule "refused" of the code is refused: .*day/) as string,
  ])
})

test("a tick whose unique key somebody holds open waits a second and is no problem", async () => {
  const keyed = defineJob<null>({ name: "keyed", uniqueKey: () => "one" })
  const { app, sql, schedules, addWorker, url } = await withCron()
  const { default: pg } = await import("pg")
  const client = new pg.Client(url)
  await client.connect()
  onTestFinished(() => client.end())
  await schedules.schedule(keyed, null, { key: "keyed", cron: "@yearly" })
  await client.query("begin")
  await app.push(keyed, null, { tx: client })
  const [before] = await sql<{ version: string }>("select version from $schema.schedules")
  await sql("update $schema.schedules set next_at = date_trunc('year', now()), run_at = now()")
  await addWorker()
  await until(
    async () => (await sql<{ version: string }>("select version from $schema.schedules"))[0]!.version > before!.version,
  )
  expect((await schedules.get("keyed"))!.problem).toBeUndefined()
  await client.query("rollback")
  await until(async () => (await schedules.ticks("keyed"))[0]?.outcome === "pushed")
})

test("the plugin's tables can be removed and made again", async () => {
  const { app, sql, schedules } = await withCron()
  await schedules.schedule(report, { day: "x" }, daily)
  const { names } = await import("../../src/postgres/sql.ts")
  const [{ s } = { s: "" }] = await sql<{ s: string }>("select '$schema' as s")
  for (const statement of cron().migrations![0]!.down(names(s))) await sql(statement)
  await sql("delete from $schema.migrations where component = 'cron'")
  expect(await rejection(schedules.list())).toMatchObject({ code: "MILLRACE_NOT_MIGRATED" })
  await app.migrate()
  expect(await schedules.list()).toEqual([])
})

test("storing a schedule again keeps a tick that is due, unless its times change", async () => {
  const { sql, schedules } = await withCron()
  const due = new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000)
  await schedules.schedule(report, { day: "x" }, { key: "r", cron: "0 * * * *" })
  await sql("update $schema.schedules set next_at = $1, run_at = $1", [due])
  const same = await schedules.schedule(report, { day: "y" }, { key: "r", cron: "0 * * * *" })
  expect(same).toMatchObject({ nextAt: due, payload: { day: "y" } })
  const changed = await schedules.schedule(report, { day: "y" }, { key: "r", cron: "30 * * * *" })
  expect(changed.nextAt!.getTime()).toBeGreaterThan(due.getTime())
})

/** Makes a schedule believe that its last ticks were so long ago, then starts a worker and returns what came of them. */
async function afterOutage(options: Omit<ScheduleOptions, "key">, minutes: number) {
  const { sql, schedules, addWorker } = await withCron()
  await schedules.schedule(beat, undefined, { key: "beat", cron: "* * * * *", ...options })
  await sql(
    "update $schema.schedules set next_at = date_trunc('minute', now()) - $1 * interval '1 minute', run_at = now() - interval '1 h'",
    [minutes],
  )
  await addWorker()
  await until(async () => (await schedules.ticks("beat")).length > 0)
  return (await schedules.ticks("beat", { limit: 1_000 })).toReversed()
}

test("missed: once pushes one job for all that was missed", async () => {
  const [tick, ...more] = await afterOutage({ missed: "once" }, 7)
  expect(tick).toMatchObject({ outcome: "pushed", missed: 7 })
  expect(more.length).toBeLessThanOrEqual(1) // a minute may begin meanwhile
})

test("missed: all pushes one job for each, in order", async () => {
  const ticks = await afterOutage({ missed: "all" }, 5)
  expect(ticks.length).toBeGreaterThanOrEqual(6)
  const times = ticks.map(({ at }) => at.getTime())
  expect(times.slice(0, 6).map((at) => (at - times[0]!) / 60_000)).toEqual([0, 1, 2, 3, 4, 5])
  expect(ticks.every(({ outcome, missed }) => outcome === "pushed" && missed === 0)).toBe(true)
})

test("missed: all stops at its limit, keeps the latest and counts the others", async () => {
  const ticks = await afterOutage({ missed: "all", missedLimit: 2 }, 5)
  expect(ticks[0]).toMatchObject({ outcome: "pushed", missed: 4 })
})

test("missed: skip pushes nothing for a tick that is older than its grace", async () => {
  const { sql, schedules, addWorker } = await withCron()
  await schedules.schedule(beat, undefined, { key: "beat", cron: "0 0 1 1 *", missed: "skip", grace: "10m" })
  await sql("update $schema.schedules set next_at = $1, run_at = now()", [
    new Date(Date.UTC(new Date().getUTCFullYear(), 0, 1)),
  ])
  await addWorker()
  await until(async () => (await schedules.ticks("beat")).length > 0)
  expect(await schedules.ticks("beat")).toMatchObject([{ outcome: "missed", job: undefined }])
  expect((await schedules.get("beat"))!.lastJob).toBeUndefined()
})

/** Fires two ticks or more of a schedule whose jobs nobody runs; returns them, oldest first, with the states of their jobs. */
async function overlapping(overlap: ScheduleOptions["overlap"]) {
  const { app, schedules, addWorker } = await withCron()
  await app.declareQueue({ name: "idle", tags: [] })
  await addWorker()
  await schedules.schedule(beat, undefined, { key: "beat", every: "1s", overlap, push: { queue: "idle" } })
  await until(async () => (await schedules.ticks("beat")).length >= 2)
  await schedules.pause("beat")
  const ticks = (await schedules.ticks("beat")).toReversed()
  return { ticks, states: await Promise.all(ticks.map(async ({ job }) => job && (await app.job(job).get())!.state)) }
}

test("overlap: skip runs nothing while the previous run has not finished", async () => {
  const { ticks, states } = await overlapping("skip")
  expect(states).toEqual(["pending", ...ticks.slice(1).map(() => undefined)])
  expect(ticks[1]).toMatchObject({ outcome: "skipped", reason: `job ${ticks[0]!.job} has not finished` })
})

test("overlap: allow runs both, replace cancels the previous one", async () => {
  const [allowed, replaced] = [await overlapping("allow"), await overlapping("replace")]
  expect(new Set(allowed.states)).toEqual(new Set(["pending"]))
  expect(replaced.states).toEqual([...replaced.states.slice(1).map(() => "cancelled"), "pending"])
})

test("a row that cannot run is skipped and reported, and the others run", async () => {
  const { app, sql, schedules, addWorker } = await withCron()
  for (const key of ["bad-cron", "bad-zone", "good"]) await schedules.schedule(beat, undefined, { key, every: "1s" })
  await sql("update $schema.schedules set cron = '61 * * * *', every_ms = null, run_at = now() where key = 'bad-cron'")
  await sql(
    "update $schema.schedules set cron = '* * * * *', zone = 'Mars/Base', every_ms = null, run_at = now() where key = 'bad-zone'",
  )
  const failed = app.hub.waitFor("schedule.failed", { timeout: "20s" })
  const worker = await addWorker({ handlers: [beat.handler(() => {})] })
  expect((await failed).body.key).toMatch(/^bad-/)
  await until(async () => (await schedules.ticks("good")).length > 0)
  await until(() => worker.health().plugins.find(({ name }) => name === "cron")!.problems.length === 2)
  expect(worker.health().plugins.find(({ name }) => name === "cron")).toMatchObject({ state: "running", crashes: 0 })
  expect((await schedules.get("bad-zone"))!.problem).toMatch(/"Mars\/Base" is not a time zone/)
  await schedules.schedule(beat, undefined, { key: "bad-zone", cron: "* * * * *" })
  expect((await schedules.get("bad-zone"))!.problem).toBeUndefined()
})

test("a job whose unique key is taken is a duplicate of the one that holds it", async () => {
  const keyed = defineJob<{ id: number }>({ name: "keyed", uniqueKey: ({ id }) => `k${id}` })
  const { app, schedules } = await withCron()
  const job = await app.push(keyed, { id: 1 })
  await schedules.schedule(keyed, { id: 1 }, { key: "keyed", every: "1h", overlap: "allow" })
  expect(await schedules.runNow("keyed")).toBe(job.id)
  expect(await schedules.ticks("keyed")).toMatchObject([{ outcome: "duplicate", job: job.id }])
})

test("a key that outlives its job's end keeps ticks of its period from pushing another", async () => {
  const { app, schedules, addWorker } = await withCron()
  const key = { key: "once a day", period: "1d" } as const
  await addWorker({ handlers: [beat.handler(() => {})] })
  await schedules.schedule(beat, undefined, { key: "beat", every: "1h", push: { uniqueKey: key } })
  const first = await schedules.runNow("beat")
  await app.wait([app.job(first)], { timeout: "20s" })
  expect(await schedules.runNow("beat")).toBe(first)
  expect((await schedules.ticks("beat")).map(({ outcome }) => outcome)).toEqual(["duplicate", "pushed"])
})

const make = (options: object) => () => defineSchedule(report, { day: "x" }, { key: "k", ...options })

test.each([
  [{ cron: "0 0 30 2 *" }, /never comes: there is no such day.*0 0 L \* \*/],
  [{ cron: "0 0 31 4,6 *" }, /never comes/],
  [{ cron: "61 * * * *" }, /Invalid value for minute: 61.*"0 9 \* \* 1-5"/],
  [{ cron: "* * *" }, /has 3 fields/],
  [{ cron: "0 0 0 1 1 * 2027" }, /has 7 fields/],
  [{ cron: "@reboot" }, /names an event/],
  [{ cron: "@dayly" }, /not a nickname/],
  [{ cron: "0 9 * * *", zone: "Europe/Berln" }, /Did you mean "Europe\/Berlin"\?/],
  [{ every: "1m", zone: "Mars" }, /not a time zone/],
  [{ cron: "0 9 * * *", every: "1m" }, /in both cron and every/],
  [{}, /in neither cron nor every.*\{ every: "90s" \}/],
  [{ every: "10ms" }, /minimum is 1 s/],
  [{ every: 90 }, /did you mean "90s"/],
  [{ key: undefined, every: "1m" }, /needs a key.*key: "daily-report"/],
  [{ key: "a b", every: "1m" }, /not a usable name/],
  [{ every: "1m", missed: "all", overlap: "skip" }, /\{ missed: "all", overlap: "allow" \}/],
  [{ every: "1m", missed: "sometimes" }, /missed/],
  [{ every: "1m", timezone: "UTC" }, /called "zone"/],
  [{ every: "1m", start: "tomorrow" }, /must be a Date/],
  [{ every: "1m", start: "2030-01-02", end: "2030-01-01" }, /its end .* is before its start/],
  [
    { cron: "0 0 1 1 *", start: "2030-01-02T00:00Z", end: "2030-03-01T00:00Z" },
    /no time between its start and its end/,
  ],
  [{ cron: "0 0,1 * * *", jitter: "2h" }, /beyond the next one, 3600000 ms later/],
  [{ every: "1m", jitter: "1m" }, /beyond the next one/],
  [{ every: "1m", queue: "mail" }, /push: \{ queue: "mail" \}/],
])("what cannot be is refused where it is written: %j", (options, message) => {
  expect(make(options)).toThrow(message)
})

test("a payload that the schema refuses and a past end are refused at once", async () => {
  const { schedules } = await withCron()
  const refuse = async (payload: unknown, options: object) =>
    rejection(schedules.schedule(report, payload as never, { ...daily, ...options }))
  expect(await refuse({ day: 1 }, {})).toMatchObject({ code: "MILLRACE_BAD_PAYLOAD" })
  expect(await refuse({ day: "x" }, { end: "2020-01-01" })).toMatchObject({ code: "MILLRACE_BAD_SCHEDULE" })
  expect(await refuse({ day: "x" }, { push: { runAt: "in 1m" } })).toMatchObject({ code: "MILLRACE_BAD_OPTION" })
  expect(await rejection(schedules.pause("none"))).toMatchObject({ code: "MILLRACE_UNKNOWN_SCHEDULE" })
  expect(await rejection(schedules.runNow("none"))).toMatchObject({ code: "MILLRACE_UNKNOWN_SCHEDULE" })
  expect(await rejection(schedules.ticks("none"))).toMatchObject({ code: "MILLRACE_UNKNOWN_SCHEDULE" })
  expect(() => cron({ schedules: [{} as never] })).toThrow(/defineSchedule/)
  expect(await rejection(cron().list())).toMatchObject({ code: "MILLRACE_NO_APP" })
  expect(await schedules.list()).toEqual([])
})

test("a plugin's cleanup removes ticks that are older than they are kept", async () => {
  const { sql, schedules, addWorker } = await withCron(cron({ keep: "1d" }))
  await schedules.schedule(beat, undefined, { key: "beat", every: "1h" })
  await schedules.runNow("beat")
  await schedules.runNow("beat")
  await sql(
    "update $schema.schedule_ticks set fired_at = now() - interval '2 days' where at = (select min(at) from $schema.schedule_ticks)",
  )
  await addWorker()
  await until(async () => (await schedules.ticks("beat")).length === 1)
})

import { defineJob } from "millrace"
import { alerts, errorGroups, leadership, type AlertChannel, type Alerts, type Notification } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const work = defineJob<string>({ name: "work", maxAttempts: 1, backoff: { initial: 0 } })
const handlers = [
  work.handler((what) => {
    if (what === "fail") throw new Error("no")
  }),
]

/** A channel that keeps what it is told. */
function memory(name = "memory"): AlertChannel & { readonly told: Notification[]; readonly lines: () => string[] } {
  const told: Notification[] = []
  return {
    name,
    told,
    lines: () => told.map(({ kind, event }) => `${kind} ${event.rule} ${event.subject}`),
    async send(notification) {
      told.push(notification)
    },
  }
}

type Options = Parameters<typeof alerts>[0]
const often = { every: "60ms" } as const

/** An app with alerts, whose condition of the rule "wrong" is a variable. */
async function withSwitch(options: Omit<NonNullable<Options>, "rules"> & { readonly rule?: object } = {}) {
  const { rule = {}, ...rest } = options
  const problems = new Map<string, string>()
  const check = () => Array.from(problems, ([subject, text]) => ({ subject, text, value: 1 }))
  const channel = memory()
  const rules = [{ name: "wrong", kind: "custom", check, ...rule } as const]
  const make = () => alerts({ rules, channels: [channel], ...often, ...rest })
  const started = await startApp({ worker: false, app: { plugins: [make()] } })
  return { ...started, problems, channel, make, alerts: started.app.plugin<Alerts>("alerts") }
}

test("a problem fires once, is told once, and is told to be over once", async () => {
  const { addWorker, problems, channel, app, alerts: own } = await withSwitch()
  const heard: string[] = []
  for (const name of ["alert.firing", "alert.resolved"])
    app.hub.on(name, ({ body }) => heard.push(`${name} ${(body as { subject: string }).subject}`))
  await addWorker({ handlers })
  problems.set("disk", "The disk is full.")
  await until(() => channel.told.length === 1)
  const { events } = await own.events({ state: "firing" })
  expect(events).toMatchObject([{ rule: "wrong", subject: "disk", severity: "warning", text: "The disk is full." }])
  problems.set("disk", "The disk is very full.")
  await until(async () => (await own.events()).events[0]!.text === "The disk is very full.")
  problems.clear()
  await until(() => channel.told.length === 2)
  expect(channel.lines()).toEqual(["firing wrong disk", "resolved wrong disk"])
  expect(channel.told[1]!.event).toMatchObject({ id: events[0]!.id, resolvedAt: expect.any(Date) })
  await until(() => heard.length === 2)
  expect(heard).toEqual(["alert.firing disk", "alert.resolved disk"])
  // The same problem later is another event.
  problems.set("disk", "Full again.")
  await until(() => channel.told.length === 3)
  expect((await own.events()).events).toHaveLength(2)
})

test("what does not last for as long as the rule says is never told", async () => {
  const { addWorker, problems, channel, sql, alerts: own } = await withSwitch({ rule: { for: "1h" } })
  await addWorker({ handlers })
  problems.set("short", "x")
  await until(async () => (await own.rules())[0]!.pending === 1)
  problems.clear()
  await until(async () => (await own.events()).events.length === 0)
  problems.set("long", "x")
  await until(async () => (await own.rules())[0]!.pending === 1)
  await sql("update $schema.alert_events set began_at = began_at - interval '1 hour'")
  await until(() => channel.told.length === 1)
  expect(channel.lines()).toEqual(["firing wrong long"])
})

test("a new leader goes on where the last one stopped: nothing is told twice, nothing is lost", async () => {
  const { addWorker, problems, channel, alerts: own } = await withSwitch()
  const elected = () => leadership({ lease: "1s", every: "100ms" })
  const first = await addWorker({ handlers, plugins: [elected()] })
  const second = await addWorker({ handlers, plugins: [elected()] })
  problems.set("a", "x")
  await until(() => channel.told.length === 1)
  const [leader, heir] = first.leads ? [first, second] : [second, first]
  problems.set("b", "x")
  problems.delete("a")
  await leader.forceStop()
  await until(() => heir.leads && channel.told.length === 3)
  await until(async () => (await own.events({ state: "firing" })).events.length === 1)
  expect(channel.lines().toSorted()).toEqual(["firing wrong a", "firing wrong b", "resolved wrong a"])
})

test("several that all believe they lead write one event, and push one notification", async () => {
  const { addWorker, problems, channel, sql, alerts: own } = await withSwitch()
  problems.set("a", "x")
  problems.set("b", "x")
  for (let worker = 0; worker < 3; worker++) await addWorker({ handlers, plugins: [leadership({ mode: "always" })] })
  await until(() => channel.told.length === 2)
  problems.set("c", "x") // whole rounds of all of them have passed when this one is told
  await until(() => channel.told.length === 3)
  expect(channel.lines().toSorted()).toEqual(["firing wrong a", "firing wrong b", "firing wrong c"])
  expect((await own.events()).events).toHaveLength(3)
  expect(await sql("select count(*)::int as n from $schema.all_jobs where name = 'millrace.alert'")).toEqual([{ n: 3 }])
})

test("silenced rules write down what they find, and tell it when the silence is over and it still fires", async () => {
  const { addWorker, problems, channel, sql, alerts: own } = await withSwitch()
  expect(await own.silence("wrong", { until: "in 1h", by: "Ada" })).toMatchObject({
    silencedUntil: expect.any(Date),
    silencedBy: "Ada",
  })
  await addWorker({ handlers })
  problems.set("quiet", "x")
  problems.set("brief", "x")
  await until(async () => (await own.rules())[0]!.firing === 2)
  problems.delete("brief")
  await until(async () => (await own.rules())[0]!.firing === 1)
  expect(channel.told).toEqual([])
  await sql("update $schema.alert_rules set silenced_until = now()")
  await until(() => channel.told.length === 1)
  expect(channel.lines()).toEqual(["firing wrong quiet"])
  expect(await own.silence("wrong", { until: null })).toMatchObject({ silencedUntil: undefined })
  await expect(own.silence("right", { until: null })).rejects.toMatchObject({ code: "MILLRACE_UNKNOWN_ALERT" })
  await expect(own.silence("wrong", { until: "soon" })).rejects.toMatchObject({ code: "MILLRACE_BAD_OPTION" })
})

test("what nobody acknowledges is told again, what somebody has acknowledged is not", async () => {
  const { addWorker, problems, channel, sql, alerts: own } = await withSwitch({ rule: { repeat: "1h" } })
  await addWorker({ handlers })
  problems.set("a", "x")
  await until(() => channel.told.length === 1)
  const hourLater = () => sql("update $schema.alert_events set notified_at = notified_at - interval '1 hour'")
  await hourLater()
  await until(() => channel.told.length === 2)
  const { id } = channel.told[0]!.event
  expect(await own.acknowledge(id, { by: "Grace", note: "on it" })).toMatchObject({
    acknowledgedBy: "Grace",
    note: "on it",
    acknowledgedAt: expect.any(Date),
  })
  await hourLater()
  problems.set("b", "x") // a whole round has passed when this one is told
  await until(() => channel.told.length === 3)
  expect(channel.lines()).toEqual(["firing wrong a", "firing wrong a", "firing wrong b"])
  await expect(own.acknowledge("none")).rejects.toMatchObject({ code: "MILLRACE_UNKNOWN_ALERT" })
})

test("a rule that cannot be looked at takes no other along, resolves nothing, and says why", async () => {
  let broken = false
  const channel = memory()
  const check = () => {
    if (broken) throw new Error("no access")
    return [{ subject: "a", text: "x" }]
  }
  const later: { subject: string; text: string }[] = []
  const rules = [
    { name: "shaky", kind: "custom", check },
    { name: "sound", kind: "custom", check: () => later },
  ] as const
  const { app, addWorker } = await startApp({
    worker: false,
    app: { plugins: [alerts({ rules, channels: [channel], ...often })] },
  })
  const own = app.plugin<Alerts>("alerts")
  await addWorker({ handlers })
  await until(() => channel.told.length === 1)
  broken = true
  await until(async () => (await own.rules())[0]!.error === "no access")
  later.push({ subject: "b", text: "x" })
  await until(() => channel.told.length === 2)
  expect(await own.rules()).toMatchObject([
    { name: "shaky", firing: 1, error: "no access", channels: ["memory"] },
    { name: "sound", firing: 1, error: undefined },
  ])
  broken = false
  await until(async () => (await own.rules())[0]!.error === undefined)
})

test("checks that never end, or find what nobody can store, keep no other rule from being looked at", async () => {
  const channel = memory()
  const refused = () => Promise.reject(Object.assign(new Error("no way to it"), { code: "ECONNREFUSED" }))
  const rules = [
    { name: "endless", kind: "custom", check: () => new Promise<never>(() => {}), timeout: "20ms" },
    { name: "refused", kind: "custom", check: refused },
    { name: "odd", kind: "custom", check: () => [{ subject: "a\0\ud800", text: undefined, value: NaN }] as never },
    { name: "none", kind: "custom", check: () => undefined as never },
    { name: "sound", kind: "custom", check: () => [{ subject: "b", text: "x" }] },
  ] as const
  const { app, addWorker } = await startApp({
    worker: false,
    app: { plugins: [alerts({ rules, channels: [channel], ...often })] },
  })
  await addWorker({ handlers })
  await until(() => channel.told.length === 2)
  expect(channel.lines().toSorted()).toEqual(["firing odd a\ufffd\ufffd", "firing sound b"])
  const errors = (await app.plugin<Alerts>("alerts").rules()).map(({ error }) => error)
  expect(errors).toEqual([
    'check(ctx) of "endless" took longer than 20 ms',
    "no way to it",
    undefined,
    "check(ctx) must return a list of { subject, text, value }",
    undefined,
  ])
})

test("rules choose their channels; what belongs to a rule that was removed ends", async () => {
  const [one, two] = [memory("one"), memory("two")]
  const check = () => [{ subject: "a", text: "x" }]
  const rules = [{ name: "r", kind: "custom", check, channels: ["two"], severity: "critical" }] as const
  const channels = [one, two]
  const { addWorker, addApp } = await startApp({
    worker: false,
    app: { plugins: [alerts({ rules, channels, ...often })] },
  })
  const worker = await addWorker({ handlers })
  await until(() => two.told.length === 1)
  expect(one.told).toEqual([])
  expect(two.told[0]!.event.severity).toBe("critical")
  await worker.stop()
  const changed = addApp({ plugins: [alerts({ rules: [], channels, ...often })] })
  const { Worker } = await import("millrace/worker")
  await using heir = new Worker(changed, { handlers })
  await heir.start()
  await until(async () => (await changed.plugin<Alerts>("alerts").events({ state: "resolved" })).events.length === 1)
})

const rulesThatFire = async (rules: NonNullable<Options>["rules"], more: readonly never[] | unknown[] = []) => {
  const channel = memory()
  const own = alerts({ rules, channels: [channel], ...often })
  const started = await startApp({ worker: false, app: { plugins: [...(more as never[]), own] } })
  return { ...started, channel, fired: (count: number) => until(() => channel.told.length >= count) }
}

test("a backlog is told by the age of its oldest ready job, whatever its priority; paused queues are left out", async () => {
  const { app, addWorker, sql, channel, fired } = await rulesThatFire([
    { name: "late", kind: "backlog", above: "10m", queues: ["slow*"] },
  ])
  for (const name of ["slow-a", "slow-b", "slow-c", "slow-due", "slow-key", "other"])
    await app.declareQueue({ name, tags: [] })
  await app.pushMany(work, ["x", "y"], { queue: "slow-a", priority: 5 })
  const [old] = await app.pushMany(work, ["z"], { queue: "slow-a", priority: -5 })
  for (const queue of ["slow-b", "slow-c", "other"]) await app.push(work, "x", { queue })
  const due = await app.push(work, "x", { queue: "slow-due", delay: "1h" })
  const keyed = await app.push(work, "x", { queue: "slow-key", limitKey: "customer-1" })
  await sql("update $schema.jobs set ready_at = now() - interval '11 minutes' where id = $1 or queue in ('slow-c', 'other')", [old!.id]) // prettier-ignore
  await sql("update $schema.jobs set run_at = now() - interval '12 minutes' where id = $1", [due.id])
  await sql("update $schema.jobs set ready_at = now() - interval '13 minutes' where id = $1", [keyed.id])
  await app.pauseQueue("slow-c")
  await addWorker({ handlers })
  await fired(3)
  expect(channel.lines().toSorted()).toEqual(["firing late slow-a", "firing late slow-due", "firing late slow-key"])
  expect(channel.told[0]!.event.text).toMatch(/^The oldest ready job of the queue "slow-\w+" has waited for 1[123] m/)
  expect(channel.told.find(({ event }) => event.subject === "slow-a")!.event.value).toBeGreaterThanOrEqual(660_000)
})

test("failures are told by their share, once there are enough of them", async () => {
  const { app, addWorker, channel, fired } = await rulesThatFire([
    { name: "failing", kind: "failures", above: 25, atLeast: 4 },
    { name: "rarely", kind: "failures", above: 25, atLeast: 5 },
    { name: "mostly", kind: "failures", above: 50, atLeast: 4 },
  ])
  await addWorker({ handlers })
  await app.wait(await app.pushMany(work, ["fine", "fine", "fail", "fail"]), { timeout: "10s" })
  await fired(1)
  expect(channel.told[0]!.event).toMatchObject({
    rule: "failing",
    subject: "default",
    value: 50,
    text: '2 of 4 jobs of the queue "default" failed within 10 m.',
  })
  await app.wait(await app.pushMany(work, ["fail"]), { timeout: "10s" })
  await fired(3)
  expect(channel.lines().slice(1).toSorted()).toEqual(["firing mostly default", "firing rarely default"])
})

test("queues that no live worker runs are told, declared or not, once they have something to do", async () => {
  const { app, addWorker, channel, fired } = await rulesThatFire([
    { name: "nobody", kind: "no-worker" },
    { name: "idle", kind: "no-worker", idle: true, queues: ["lonely"] },
  ])
  await app.declareQueue({ name: "lonely", tags: [] })
  await app.declareQueue({ name: "gpu", tags: ["gpu"] })
  await app.push(work, "x", { queue: "gpu" })
  await app.push(work, "x", { queue: "undeclared" })
  await addWorker({ handlers })
  await fired(3)
  expect(channel.lines().toSorted()).toEqual(["firing idle lonely", "firing nobody gpu", "firing nobody undeclared"])
})

test("schedules are asked for by what their plugin offers, and open errors by what theirs does", async () => {
  const cron = { name: "cron", missed: async (ms: number) => [{ key: "nightly", lateMs: ms + 1 }] }
  const { app, addWorker, channel, fired } = await rulesThatFire(
    [
      { name: "missed", kind: "missed-schedule", above: "2m" },
      { name: "error", kind: "error" },
    ],
    [cron, errorGroups()],
  )
  await addWorker({ handlers })
  await fired(1)
  expect(channel.told[0]!.event).toMatchObject({
    subject: "nightly",
    text: 'The schedule "nightly" should have run 2 m ago.',
  })
  await app.push(work, "fail")
  await fired(2)
  expect(channel.told[1]!.event).toMatchObject({ rule: "error", text: "Error: no", value: 1 })
})

test("a plugin that keeps failing is told, with its error, also where another worker leads", async () => {
  const { app, addWorker, channel, fired } = await rulesThatFire([{ name: "degraded", kind: "degraded-plugin" }])
  await addWorker({ handlers, plugins: [leadership({ mode: "always" })] })
  const follower = await addWorker({ handlers, defaultPlugins: false })
  const body = { plugin: "breakdown", worker: follower.id, error: "out of ideas" }
  for (let crashes = 1; crashes <= 5; crashes++) app.hub.emit("plugin.crashed", { ...body, crashes })
  await fired(1)
  expect(channel.told[0]!.event).toMatchObject({
    subject: "breakdown",
    text: 'The plugin "breakdown" keeps failing on 1 worker: out of ideas',
  })
  await follower.stop()
  await fired(2)
  expect(channel.lines()).toEqual(["firing degraded breakdown", "resolved degraded breakdown"])
})

test("routes speak JSON, and say what is wrong with a request", async () => {
  const { addWorker, problems, channel } = await withSwitch()
  const worker = await addWorker({ handlers })
  problems.set("a", "x")
  await until(() => channel.told.length === 1)
  const ask = async (path: string, method = "GET", body?: unknown) => {
    const init =
      body === undefined ? { method } : { method, body: typeof body === "string" ? body : JSON.stringify(body) }
    const response = (await worker.route(new Request(`http://localhost/plugins/alerts${path}`, init)))!
    return [response.status, (await response.json()) as Record<string, unknown>] as const
  }
  expect(await ask("/rules")).toMatchObject([200, { rules: [{ name: "wrong", kind: "custom", firing: 1 }] }])
  const [, { events }] = await ask("/events?state=firing&limit=1")
  const { id } = (events as { id: string }[])[0]!
  expect(await ask(`/events/${id}/acknowledge`, "POST", { by: "Ada" })).toMatchObject([200, { acknowledgedBy: "Ada" }])
  expect(await ask(`/events/${id}/acknowledge`, "POST")).toMatchObject([200, { acknowledgedBy: "Ada" }])
  const until2100 = "2100-01-01T00:00:00.000Z"
  expect(await ask("/rules/wrong/silence", "POST", { until: until2100 })).toMatchObject([
    200,
    { silencedUntil: until2100 },
  ])
  expect(await ask("/rules/wrong/silence", "POST", { until: null })).toMatchObject([200, { name: "wrong" }])
  expect(await ask("/rules/none/silence", "POST", { until: "in 1h" })).toMatchObject([
    404,
    { code: "MILLRACE_UNKNOWN_ALERT" },
  ])
  expect(await ask("/rules/wrong/silence", "POST", {})).toMatchObject([400, { code: "MILLRACE_BAD_OPTION" }])
  expect(await ask("/rules/wrong/silence", "POST", { until: "x" })).toMatchObject([
    400,
    { code: "MILLRACE_BAD_OPTION" },
  ])
  expect(await ask("/rules/wrong/silence", "POST", "{")).toMatchObject([400, { code: "MILLRACE_BAD_JSON" }])
  expect(await ask(`/events/${id.replace(/.$/, "x")}/acknowledge`, "POST")).toMatchObject([
    404,
    { code: "MILLRACE_UNKNOWN_ALERT" },
  ])
  expect(await ask("/events?state=odd")).toMatchObject([400, { code: "MILLRACE_BAD_OPTION" }])
  expect(await ask("/events?cursor=odd")).toMatchObject([400, { code: "MILLRACE_BAD_CURSOR" }])
  const permissions = worker.plugin("alerts").routes!.map(({ method, permission }) => `${method} ${permission}`)
  expect([...new Set(permissions)]).toEqual(["GET alerts:read", "POST alerts:write"])
})

test.each([
  [{ rules: [{ name: "x", kind: "weather" }] }, /known are backlog, failures/],
  [{ rules: [{ name: "x", kind: "backlog" }] }, /alerts.rules\[0\].above: is required/],
  [{ rules: [{ name: "x", kind: "backlog", threshold: "1m" }] }, /It is called "above" here/],
  [
    {
      rules: [
        { name: "x", kind: "error" },
        { name: "x", kind: "error" },
      ],
    },
    /two rules are called "x"/,
  ],
  [{ rules: [{ name: "x", kind: "error", channels: ["pager"] }] }, /names the channel "pager"; there are none/],
  [{ channels: [{}] }, /must be a channel/],
  [{ channels: [memory("a"), memory("a")] }, /two are called "a"/],
])("bad options are refused where they are written: %#", (options, message) => {
  expect(() => alerts(options as never)).toThrow(message)
})

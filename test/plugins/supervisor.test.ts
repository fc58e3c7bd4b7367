import { defineJob } from "millrace"
import { leadership, type AppContext, type Plugin, type PluginContext } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const work = defineJob<number>({ name: "work" })

test("a plugin starts, runs until the worker stops, and stops", async () => {
  const lived: string[] = []
  const plugin: Plugin = {
    name: "life",
    onStart: () => void lived.push("start"),
    async run(ctx, signal) {
      lived.push(`run as ${ctx.name} on ${ctx.worker.id}`)
      while (await ctx.sleep("1h"));
      lived.push(`aborted ${signal.aborted}`)
    },
    onStop: () => void lived.push("stop"),
  }
  const { worker } = await startApp({ id: "w1", plugins: [plugin] })
  await until(() => lived.length === 2)
  await worker.stop()
  expect(lived).toEqual(["start", "run as life on w1", "aborted true", "stop"])
})

test("a plugin that throws at once for ever is degraded; jobs and other plugins do not notice", async () => {
  let others = 0
  const broken: Plugin = {
    name: "broken",
    async run() {
      throw new Error("always")
    },
  }
  const fine: Plugin = {
    name: "fine",
    async run(ctx) {
      do others += 1
      while (await ctx.sleep(5))
    },
  }
  const { app, worker } = await startApp({ handlers: [work.handler(() => {})], plugins: [broken, fine] })
  const crashed: number[] = []
  app.hub.on("plugin.crashed", ({ body }) => crashed.push(body.crashes))
  const degraded = app.hub.waitFor("plugin.degraded", { timeout: "30s" })
  const jobs = await app.pushMany(
    work,
    Array.from({ length: 500 }, (_, index) => index),
  )
  await app.wait(jobs, { timeout: "20s" })
  expect((await degraded).body).toMatchObject({
    plugin: "broken",
    error: expect.stringContaining("always"),
    crashes: 5,
  })
  const before = others
  await until(() => others > before + 3)
  expect(worker.health()).toMatchObject({
    healthy: false,
    state: "running",
    plugins: expect.arrayContaining([
      expect.objectContaining({ name: "broken", state: "degraded", crashes: 5 }),
      expect.objectContaining({ name: "fine", state: "running", crashes: 0 }),
    ]),
  })
  expect(crashed.at(-1)).toBe(5)
}, 60_000)

test("a leader's plugin starts when the worker gains its term, and stops when it loses it", async () => {
  const lived: string[] = []
  const plugin: Plugin = {
    name: "only-one",
    scope: "leader",
    onStart: (ctx) => void lived.push(`start ${ctx.worker.id}`),
    async run(ctx) {
      while (await ctx.sleep("1h"));
    },
    onStop: (ctx) => void lived.push(`stop ${ctx.worker.id}`),
  }
  const quick = () => [plugin, leadership({ lease: "600ms", every: "100ms" })]
  const { worker, addWorker } = await startApp({ id: "a", plugins: quick() })
  await until(() => lived.includes("start a"))
  const second = await addWorker({ id: "b", plugins: quick() })
  expect([worker.leads, second.leads]).toEqual([true, false])
  expect(second.health().plugins.find((one) => one.name === "only-one")!.state).toBe("waiting")
  await worker.stop()
  await until(() => lived.includes("start b"))
  expect(lived).toEqual(["start a", "stop a", "start b"])
})

test("needs are started first; the context finds them, and wakes and waits", async () => {
  const order: string[] = []
  const base: Plugin & { value: number } = { name: "base", value: 7, onStart: () => void order.push("base") }
  let ctx: PluginContext | undefined
  let rounds = 0
  const top: Plugin = {
    name: "top",
    needs: ["base"],
    async run(context) {
      ctx = context
      order.push(`top ${context.plugin<typeof base>("base").value}`)
      while (await context.sleep("1h")) rounds += 1
    },
  }
  const { worker, app } = await startApp({ plugins: [top, base] })
  await until(() => order.length === 2)
  expect(order).toEqual(["base", "top 7"])
  ctx!.wakeUp()
  await until(() => rounds === 1)
  expect(await ctx!.waitForLeader()).toBe(true)
  expect(worker.plugin("top")).toBe(top)
  expect(() => worker.plugin("tops")).toThrow(/Did you mean "top"/)
  expect(() => ctx!.plugin("bases")).toThrow(/Did you mean "base"/)
  expect(() => app.plugin("cron")).toThrow(expect.objectContaining({ code: "MILLRACE_UNKNOWN_PLUGIN" }))
})

test("built-in plugins are there, may be replaced by name, or left out", async () => {
  const names = (plugins: readonly { name: string }[]) => plugins.map((plugin) => plugin.name)
  const { worker, addWorker } = await startApp({})
  expect(names(worker.health().plugins)).toEqual(["leadership", "recovery", "pruner", "metrics"])
  const own: Plugin = { name: "pruner" }
  const replaced = await addWorker({ plugins: [own] })
  expect(replaced.plugin("pruner")).toBe(own)
  const bare = await addWorker({ defaultPlugins: false })
  expect(bare.health().plugins).toEqual([])
})

test.each([
  [[{ name: "a" }, { name: "a" }], /two plugins are called "a"/],
  [[{ name: "a", needs: ["recoverry"] }], /needs "recoverry", which is not there. Did you mean "recovery"/],
  [
    [
      { name: "a", needs: ["b"] },
      { name: "b", needs: ["a"] },
    ],
    /circle: a → b → a/,
  ],
  [[5], /5 is not a plugin/],
  [[{ name: "a", scope: "cluster" }], /scope is "worker" or "leader"/],
  [[{ name: "a", run: "x" }], /run must be a function/],
  [[{ name: "a", migrations: [] }], /has tables, so it belongs to the app/],
])("plugins that do not fit are refused: %#", async (plugins, message) => {
  const { addWorker } = await startApp({ worker: false })
  await expect(addWorker({ plugins: plugins as Plugin[] })).rejects.toMatchObject({
    code: "MILLRACE_BAD_PLUGIN",
    message: expect.stringMatching(message),
  })
})

test("a leader's plugin without leadership is refused", async () => {
  const { addWorker } = await startApp({ worker: false })
  const plugins: Plugin[] = [{ name: "a", scope: "leader" }]
  await expect(addWorker({ defaultPlugins: false, plugins })).rejects.toThrow(/needs "leadership"/)
})

test("an app's plugin has its tables made, runs in every worker, sees pushes, and serves its route", async () => {
  const stamped: Plugin & { seen(): number } = {
    name: "stamp",
    tables: ["stamps"],
    migrations: [
      {
        version: 1,
        up: (names) => [`create table ${names.of("stamps")} (id uuid primary key)`],
        down: (names) => [`drop table ${names.of("stamps")}`],
      },
    ],
    pushing: (job) => void (job.meta.stamp = `${job.name} in ${job.queue}`),
    saving: {
      select: ({ state }) => state === "succeeded",
      run: async (batch, tx) => {
        for (const { job } of batch) await tx.query(`insert into ${table} values ($1)`, [job.id])
      },
    },
    routes: [
      {
        method: "GET",
        path: "/count",
        permission: "jobs:read",
        async handle(_request, ctx) {
          const { rows } = await ctx.db.query<{ n: number }>(`select count(*) as n from ${ctx.table("stamps")}`)
          return Response.json({ count: rows[0]!.n })
        },
      },
    ],
    seen: () => 1,
  }
  let table = ""
  const { app, worker, schema } = await startApp({
    app: { plugins: [stamped] },
    handlers: [work.handler((_, job) => job.meta.stamp)],
  })
  table = `"${schema}"."stamps"`
  expect(app.plugin<typeof stamped>("stamp").seen()).toBe(1)
  const one = await app.push(work, 1)
  expect(await one.result({ timeout: "10s" })).toBe("work in default")
  await until(async () => (await one.get())?.state === "succeeded")
  const response = await worker.route(new Request("http://localhost/plugins/stamp/count"))
  expect(await response!.json()).toEqual({ count: 1 })
  expect(worker.route(new Request("http://localhost/plugins/stamp/other"))).toBeUndefined()
})

test("an app's plugin is told its app before any worker is there, and belongs to it alone", async () => {
  let home: AppContext | undefined
  const plugin: Plugin = { name: "told", attach: (app) => void (home = app) }
  const { app, addApp, schema } = await startApp({ app: { plugins: [plugin] }, worker: false })
  expect(home!.client).toBe(app)
  expect(home!.table("jobs")).toBe(`"${schema}"."jobs"`)
  expect((await home!.db.query("select 1 as one")).rows).toEqual([{ one: 1 }])
  expect(() => addApp({ plugins: [plugin] })).toThrow(/plugin "told" belongs to another app/)
})

test("a route's path may have names in it", async () => {
  const plugin: Plugin = {
    name: "paths",
    routes: [
      {
        method: "GET",
        path: "/things/:key",
        permission: "jobs:read",
        handle: (_request, _ctx, params) => Response.json(params),
      },
    ],
  }
  const { worker } = await startApp({ app: { plugins: [plugin] } })
  const response = await worker.route(new Request("http://localhost/plugins/paths/things/a%2Fb"))
  expect(await response!.json()).toEqual({ key: "a/b" })
})

test("a worker refuses to start while a plugin's tables are missing", async () => {
  const { addApp, app } = await startApp({ worker: false })
  const plugin: Plugin = { name: "late", migrations: [{ version: 1, up: () => ["select 1"], down: () => [] }] }
  const { Worker } = await import("millrace/worker")
  const worker = new Worker(addApp({ plugins: [plugin] }))
  await expect(worker.start()).rejects.toMatchObject({
    code: "MILLRACE_NOT_MIGRATED",
    message: expect.stringContaining('plugin "late"'),
  })
  expect(app).toBeDefined()
})

test("starting may give a job another payload; what is stored stays", async () => {
  const plugin: Plugin = { name: "swap", starting: () => ({ payload: 42 }) }
  const { app } = await startApp({ plugins: [plugin], handlers: [work.handler((number) => number)] })
  const job = await app.push(work, 1)
  expect(await job.result({ timeout: "10s" })).toBe(42)
  expect((await job.get())!.payload).toBe(1)
})

// What the optional plugins have to show: runs, schedules, alerts, errors and figures of the shop, in every state that a page
// draws in its own way.
import { cron, defineFlow, defineJob, discard, flows, triggers, workflow, workflows } from "millrace"
import type { Cron, FlowsPlugin, Triggers, Workflows } from "millrace"
import { alerts, errorGroups, metrics } from "millrace/worker"
import type { Alerts, ErrorGroups, MetricsPlugin, Worker } from "millrace/worker"
import { until } from "../support/until.ts"
import { quick, type Site } from "./site.ts"

const pack = defineJob<{ box: number }, { box: number }>({ name: "pack", queue: "quick", maxAttempts: 1 })

const parcel = workflow<{ boxes: number[] }>("parcel", (w) => {
  const checked = w.step("check", pack, { box: 0 })
  const approved = w.waitFor("approved", { after: checked })
  const packed = w.map("pack", pack, w.input.boxes, (box) => ({ box }), { after: approved })
  w.step("send", pack, { box: 1 }, { after: packed })
})

const refund = defineFlow<{ order: number }, string>("refund", async (flow, input) => {
  await flow.step("look", () => ({ order: input.order }))
  const { by } = await flow.waitFor<{ by: string }>("approved", { timeout: "3d" })
  const pay = () => {
    if (by === "nobody") throw new RangeError("nobody pays")
    return 5
  }
  await flow.step("pay", pay, { retry: { maxAttempts: 1 } })
  return by
})

export const shopPlugins = () => [
  workflows(),
  flows(),
  cron(),
  triggers(),
  errorGroups(),
  metrics({ every: "200ms", queuesEvery: "300ms", databaseEvery: "500ms" }),
  alerts({
    every: "200ms",
    rules: [
      { name: "labels wait", kind: "no-worker", queues: ["labels"], severity: "critical" },
      {
        name: "disk",
        kind: "custom",
        check: () => [{ subject: "/var", text: "The disk is nearly full.", value: 97 }],
      },
      { name: "quiet", kind: "backlog", above: "1h" },
    ],
  }),
]

export const shopHandlers = [
  pack.handler(({ box }) => {
    if (box < 0) return discard(new RangeError(`there is no box ${box}`))
    return { box }
  }),
  refund,
]

/** Something on every page of a plugin's. @returns the pages. */
export async function stock({ app, worker, fixture }: Site): Promise<string[]> {
  return [
    ...(await workflowPages(app.plugin<Workflows>("workflow"))),
    ...(await flowPages(app, app.plugin<FlowsPlugin>("flow"))),
    ...(await schedulePages(app.plugin<Cron>("cron"))),
    ...(await errorPages(app.plugin<ErrorGroups>("errors"))),
    ...(await metricPages(worker)),
    ...(await alertPages(app.plugin<Alerts>("alerts"))),
    ...(await triggered(app.plugin<Triggers>("trigger"), fixture.pool)),
  ]
}

async function workflowPages(plugin: Workflows): Promise<string[]> {
  const [done, failed, waiting] = await plugin.pushMany(parcel, [{ boxes: [1, 2] }, { boxes: [3, -1] }, { boxes: [4] }])
  for (const one of [done!, failed!]) await one.signal("approved", { by: "Ada" })
  expectState((await done!.wait({ timeout: "30s" })).state, "succeeded")
  expectState((await failed!.wait({ timeout: "30s" })).state, "failed")
  const at = (id: string, query = "") => `/workflows/${id}${query}`
  return [
    at(done!.id),
    at(done!.id, "?view=timeline"),
    at(failed!.id, "?view=table"),
    at(failed!.id, "?step=pack"),
    at(waiting!.id),
  ]
}

async function flowPages(app: Site["app"], plugin: FlowsPlugin): Promise<string[]> {
  const [done, failed, waiting] = await app.pushMany(refund, [{ order: 1 }, { order: 2 }, { order: 3 }])
  await plugin.signal(done!.id, "approved", { by: "Ada" })
  await plugin.signal(failed!.id, "approved", { by: "nobody" })
  await app.wait([done!, failed!])
  await until("a flow waits", async () => (await plugin.get(waiting!.id))?.state === "waiting")
  return [done!, failed!, waiting!].map(({ id }) => `/flows/${id}`)
}

async function schedulePages(plugin: Cron): Promise<string[]> {
  await plugin.schedule(quick, { kind: "sales" }, { key: "sales", cron: "30 2 * * *", zone: "Europe/Berlin" })
  await plugin.schedule(quick, { kind: "health" }, { key: "health", every: "1s" })
  await plugin.schedule(quick, { kind: "rest" }, { key: "rest", every: "1d" })
  await plugin.pause("rest")
  await plugin.runNow("sales")
  await until("a tick has its job", async () => (await plugin.ticks("health"))[0])
  return ["/schedules/sales", "/schedules/health", "/schedules/rest"]
}

async function errorPages(plugin: ErrorGroups): Promise<string[]> {
  const found = await until("errors are grouped", async () => {
    const { groups } = await plugin.list()
    return groups.length > 1 && groups
  })
  await plugin.ignore(found.at(-1)!.fingerprint)
  return found.map(({ fingerprint }) => `/errors/${fingerprint}`)
}

async function metricPages(worker: Worker): Promise<string[]> {
  const plugin = worker.plugin<MetricsPlugin>("metrics")
  await until("there are figures", async () => {
    const { series } = await plugin.query({ prefix: "jobs.run" })
    return series.some(({ points }) => points.at(-1))
  })
  return ["/metrics", "/metrics?queue=quick&heat=run", "/database", "/queues/quick"]
}

async function alertPages(plugin: Alerts): Promise<string[]> {
  const { events } = await until("two alerts fire", async () => {
    const page = await plugin.events({ state: "firing" })
    return page.events.length === 2 && page
  })
  await plugin.acknowledge(events.find(({ rule }) => rule === "disk")!.id, {
    by: "ada",
    note: "a new one is on its way",
  })
  await plugin.silence("quiet", { until: "in 2h", by: "ada" })
  return ["/alerts"]
}

/** Jobs that a table has pushed look like others. */
async function triggered(plugin: Triggers, pool: Site["fixture"]["pool"]): Promise<string[]> {
  await pool.query("create table customers (id integer)")
  await plugin.on("customers", ["insert"], quick, { name: "welcome" })
  await pool.query("insert into customers values (1)")
  return []
}

function expectState(found: string, wanted: string): void {
  if (found !== wanted) throw new Error(`the shop's workflow has ${found}, not ${wanted}`)
}

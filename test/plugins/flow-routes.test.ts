import { defineFlow, finishedAge, flows, jobName, type FlowRecord } from "millrace"
import { pruner } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const ask = defineFlow("ask", async (flow, question: string) => {
  await flow.step("asked", () => question)
  return flow.waitFor<string>("answer")
})

async function start() {
  const plugin = flows()
  const { app, worker } = await startApp({ handlers: [ask], app: { plugins: [plugin] } })
  const call = async (method: string, path: string, body?: unknown) => {
    const given = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }
    const response = await worker.route(new Request(`http://localhost/plugins/flow${path}`, { method, ...given }))!
    return { status: response.status, body: (await response.json()) as never }
  }
  const waiting = (id: string) => until(async () => (await plugin.get(id))?.state === "waiting")
  return { app, flows: plugin, call, waiting }
}

test("a run's timeline is read, its signal sent, and its list paged over HTTP", async () => {
  const { app, call, waiting } = await start()
  const jobs = await app.pushMany(ask, ["one?", "two?"])
  for (const { id } of jobs) await waiting(id)
  const first = await call("GET", "/flows?state=waiting&name=ask&limit=1")
  expect(first).toMatchObject({ status: 200, body: { flows: [{ id: jobs[1]!.id, state: "waiting" }] } })
  const { cursor } = first.body as { cursor: string }
  expect(await call("GET", `/flows?state=waiting&limit=1&cursor=${cursor}`)).toMatchObject({
    body: { flows: [{ id: jobs[0]!.id }] },
  })
  const { id } = jobs[0]!
  const { body } = await call("GET", `/flows/${id}`)
  expect((body as FlowRecord).steps).toMatchObject([
    { key: "asked", kind: "step", value: "one?" },
    { key: "answer", kind: "signal", status: "waiting" },
  ])
  expect(await call("POST", `/flows/${id}/signal/answer`, "forty-two")).toMatchObject({ status: 400 })
  expect(await call("POST", `/flows/${id}/signal/answer`, '"forty-two"')).toEqual({ status: 200, body: { sent: true } })
  expect(await app.job(id).result({ timeout: "20s" })).toBe("forty-two")
})

test("a run is cancelled and resumed over HTTP; what is wrong is told with a code", async () => {
  const { app, flows: plugin, call, waiting } = await start()
  const { id } = await app.push(ask, "well?")
  await waiting(id)
  expect(await call("POST", `/flows/${id}/resume`)).toMatchObject({
    status: 409,
    body: { code: "MILLRACE_JOB_RUNNING" },
  })
  expect(await call("POST", `/flows/${id}/cancel`, { reason: "never mind" })).toEqual({
    status: 200,
    body: { outcome: "cancelled" },
  })
  expect(await call("POST", `/flows/${id}/signal/answer`)).toMatchObject({ status: 409 })
  expect(await call("POST", `/flows/${id}/resume`, {})).toMatchObject({ status: 200 })
  await waiting(id)
  await plugin.signal(id, "answer", "yes")
  expect(await app.job(id).result({ timeout: "20s" })).toBe("yes")
  expect(await call("GET", `/flows/${crypto.randomUUID()}`)).toMatchObject({
    status: 404,
    body: { code: "MILLRACE_UNKNOWN_JOB" },
  })
  expect(await call("GET", "/flows/none")).toMatchObject({ status: 400, body: { code: "MILLRACE_BAD_ID" } })
  expect(await call("GET", "/flows?state=happy")).toMatchObject({ status: 400, body: { code: "MILLRACE_BAD_OPTION" } })
})

test.each(["1ms", "1h"])(
  "steps are kept for %s after the run, whatever becomes of the job's own record",
  async (retention) => {
    const plugin = flows({ retention })
    const rule = finishedAge.gte("0ms").and(jobName.eq(retention === "1h" ? "ask" : "other"))
    const { app, sql } = await startApp({
      handlers: [ask],
      app: { plugins: [plugin] },
      plugins: [pruner({ rule, every: "50ms" })],
    })
    const { id } = await app.push(ask, "when?")
    await plugin.signal(id, "answer", "now")
    await plugin.signal(id, "nobody waits for it", 1)
    if (retention === "1h") {
      await until(async () => (await app.job(id).get()) === undefined)
      expect(await plugin.get(id)).toMatchObject({ state: "succeeded", result: "now", signals: [{ payload: 1 }] })
    } else {
      const rows = "select 1 from $schema.flow_steps union all select 1 from $schema.flow_inbox"
      await until(async () => (await app.job(id).get())?.state === "succeeded" && (await sql(rows)).length === 0)
      expect(await plugin.get(id)).toBe(undefined)
    }
  },
)

import { defineJob, workflow, workflows, type Builder, type Millrace, type Workflows } from "millrace"
import type { Worker } from "millrace/worker"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, type Fixture } from "../support/app.ts"

/* What the dashboard asks, and how it is answered. */

const echo = defineJob<unknown, unknown>({ name: "echo", maxAttempts: 1 })
const shown = workflow("shown", (w: Builder<{ n: number; list: number[] }>) => {
  const first = w.step("first", echo, { n: w.input.n })
  const go = w.waitFor("go", { after: first })
  w.map("items", echo, w.input.list, (item) => item, { after: go })
})

const flows: Workflows = workflows()
let all: Fixture
let app: Millrace
let worker: Worker

beforeAll(async () => {
  all = await fixture()
  app = await all.app({ plugins: [flows] })
  worker = await all.worker(app, { handlers: [echo.handler((payload) => payload)] })
})
afterAll(() => all.close())

async function ask(path: string, body?: unknown, method = body === undefined ? "GET" : "POST") {
  const init = { method, ...(method === "POST" && body !== null && { body: JSON.stringify(body) }) }
  const response = (await worker.route(new Request(`http://localhost/plugins/workflow${path}`, init)))!
  const type = response.headers.get("content-type")
  return {
    status: response.status,
    type,
    body: (type?.includes("json") ? await response.json() : await response.text()) as never,
  }
}

test("lists, one workflow, its graph, its pictures", async () => {
  const { id } = await flows.push(shown, { n: 1, list: [1, 2] })
  const { id: newer } = await flows.push(shown, { n: 2, list: [] })
  const first = await ask("/workflows?name=shown&limit=1&state=running,paused")
  expect(first.body).toMatchObject({ workflows: [{ id: newer, state: "running", steps: { total: 3 } }], cursor: newer })
  expect((await ask(`/workflows?limit=1&cursor=${newer}`)).body).toMatchObject({ workflows: [{ id }] })
  expect((await ask(`/workflows/${id}`)).body).toMatchObject({
    id,
    input: { n: 1, list: [1, 2] },
    steps: [
      { key: "first", needs: [] },
      { key: "go", needs: ["first"] },
      { key: "items", needs: ["go"], kind: "map" },
    ],
  })
  expect((await ask(`/workflows/${id}/graph`)).body).toMatchObject({
    edges: [
      { from: "first", to: "go" },
      { from: "go", to: "items" },
    ],
  })
  expect(await ask(`/workflows/${id}/dot`)).toMatchObject({ status: 200, body: expect.stringContaining("digraph") })
  expect(await ask(`/workflows/${id}/mermaid`)).toMatchObject({
    status: 200,
    body: expect.stringContaining("flowchart"),
  })
})

test("pause, resume, signal, cancel and retry", async () => {
  const pushed = await flows.push(shown, { n: 1, list: [7] })
  const at = `/workflows/${pushed.id}`
  expect((await ask(`${at}/pause`, {})).body).toEqual({ changed: true })
  expect((await ask(`${at}/pause`, {})).body).toEqual({ changed: false })
  expect((await ask(`${at}/resume`, {})).body).toEqual({ changed: true })
  expect((await ask(`${at}/signal/go`, { by: "Ada" })).body).toEqual({ ok: true })
  await pushed.wait({ timeout: "20s" })
  expect((await ask(`${at}/items/items`)).body).toMatchObject({ items: [{ key: "items[0]", result: 7 }] })
  expect((await ask(`${at}/cancel`, { reason: "late" })).body).toEqual({ cancelled: false })
  expect(await ask(`${at}/retry`, {})).toMatchObject({ status: 409, body: { code: "MILLRACE_WORKFLOW_STATE" } })
  expect((await ask(`${at}/retry`, { from: "go", input: { n: 2, list: [1] } })).body).toEqual({ ok: true })
  expect((await ask(`${at}/cancel`, { reason: "enough" })).body).toEqual({ cancelled: true })
  expect((await pushed.wait({ timeout: "20s" })).state).toBe("cancelled")
})

test("what a visitor does wrong is said with a code", async () => {
  const unknown = "018f0000-0000-7000-8000-000000000000"
  expect(await ask(`/workflows/${unknown}`)).toMatchObject({ status: 404, body: { code: "MILLRACE_UNKNOWN_WORKFLOW" } })
  expect(await ask(`/workflows/${unknown}/pause`, {})).toMatchObject({ status: 404 })
  expect(await ask("/workflows/nonsense")).toMatchObject({ status: 400, body: { code: "MILLRACE_BAD_ID" } })
  expect(await ask("/workflows?state=open")).toMatchObject({ status: 400, body: { code: "MILLRACE_BAD_OPTION" } })
  expect(await ask("/workflows?limit=many")).toMatchObject({ status: 400 })
  expect(await ask("/workflows?cursor=x")).toMatchObject({ status: 400, body: { code: "MILLRACE_BAD_CURSOR" } })
  expect(await ask(`/workflows/${unknown}/retry`, [])).toMatchObject({
    status: 400,
    body: { code: "MILLRACE_BAD_JSON" },
  })
})

import { cron, defineJob } from "millrace"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const report = defineJob<unknown>({ name: "report", queue: "reports", priority: 4 })

/** A worker with schedules, and a way to ask its routes. */
async function served() {
  const schedules = cron()
  const { worker, app } = await startApp({ app: { plugins: [schedules] }, handlers: [report.handler(() => {})] })
  await until(() => worker.health().plugins.find(({ name }) => name === "cron")?.state === "running")
  const ask = async (method: string, path: string, body?: unknown) => {
    const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
    const response = (await worker.route(new Request(`http://localhost/plugins/cron${path}`, init)))!
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  return { schedules, app, ask }
}

test("a dashboard makes, reads, changes, pauses, runs and removes schedules", async () => {
  const { schedules, app, ask } = await served()
  const made = await ask("PUT", "/schedules/sales%3Aeu", {
    job: "report",
    payload: { of: "eu" },
    cron: "0 9 * * 1-5",
    zone: "Europe/Berlin",
    push: { maxAttempts: 3 },
  })
  expect(made).toMatchObject({
    status: 200,
    body: {
      key: "sales:eu",
      job: "report",
      queue: "reports",
      description: "every weekday at 09:00, Europe/Berlin",
      enabled: true,
    },
  })
  expect((await ask("GET", "/schedules")).body.schedules).toEqual([made.body])
  expect((await ask("GET", "/schedules/sales%3Aeu")).body).toEqual(made.body)
  const { body } = await ask("POST", "/schedules/sales%3Aeu/run")
  expect(await app.job(body.job as string).get()).toMatchObject({
    name: "report",
    priority: 4,
    maxAttempts: 3,
    payload: { of: "eu" },
  })
  expect((await ask("GET", "/schedules/sales%3Aeu/ticks?limit=5")).body).toMatchObject({
    ticks: [{ job: body.job, manual: true, outcome: "pushed" }],
  })
  expect((await ask("POST", "/schedules/sales%3Aeu/pause")).body).toMatchObject({ enabled: false })
  expect((await ask("POST", "/schedules/sales%3Aeu/resume")).body).toMatchObject({ enabled: true })
  expect((await ask("PUT", "/schedules/sales%3Aeu", { job: "report", every: "1h" })).body).toMatchObject({
    every: 3_600_000,
    zone: "UTC",
  })
  expect(await ask("DELETE", "/schedules/sales%3Aeu")).toEqual({ status: 200, body: { removed: "sales:eu" } })
  expect(await schedules.list()).toEqual([])
})

test("a preview shows the next runs with their offsets", async () => {
  const { ask } = await served()
  expect(
    await ask("POST", "/preview", {
      cron: "30 2 * * *",
      zone: "Europe/Berlin",
      after: "2027-03-27T00:00:00Z",
      count: 3,
    }),
  ).toEqual({
    status: 200,
    body: {
      description: "every day at 02:30, Europe/Berlin",
      zone: "Europe/Berlin",
      runs: [
        { at: "2027-03-27T01:30:00.000Z", local: "2027-03-27T02:30:00+01:00", offset: "+01:00" },
        { at: "2027-03-28T01:00:00.000Z", local: "2027-03-28T03:00:00+02:00", offset: "+02:00" },
        { at: "2027-03-29T00:30:00.000Z", local: "2027-03-29T02:30:00+02:00", offset: "+02:00" },
      ],
    },
  })
})

test.each<[string, string, unknown, number, string]>([
  ["GET", "/schedules/none", undefined, 404, "MILLRACE_UNKNOWN_SCHEDULE"],
  ["DELETE", "/schedules/none", undefined, 404, "MILLRACE_UNKNOWN_SCHEDULE"],
  ["POST", "/schedules/none/run", undefined, 404, "MILLRACE_UNKNOWN_SCHEDULE"],
  ["GET", "/schedules/none/ticks", undefined, 404, "MILLRACE_UNKNOWN_SCHEDULE"],
  ["GET", "/schedules/none/ticks?limit=x", undefined, 400, "MILLRACE_BAD_OPTION"],
  ["PUT", "/schedules/k", { cron: "0 9 * * *" }, 400, "MILLRACE_BAD_OPTION"],
  ["PUT", "/schedules/k", { job: "report", cron: "0 0 30 2 *" }, 400, "MILLRACE_BAD_SCHEDULE"],
  ["PUT", "/schedules/k", { job: "report", every: "1m", colour: 1 }, 400, "MILLRACE_UNKNOWN_OPTION"],
  ["PUT", "/schedules/k", { job: "report", every: "1m", push: { colour: 1 } }, 400, "MILLRACE_BAD_OPTION"],
  ["PUT", "/schedules/k", [], 400, "MILLRACE_BAD_JSON"],
  ["POST", "/preview", { every: "1m", count: 0 }, 400, "MILLRACE_BAD_OPTION"],
  ["POST", "/preview", { every: "1m", after: "later" }, 400, "MILLRACE_BAD_OPTION"],
])("%s %s with %j is refused", async (method, path, body, status, code) => {
  const { ask } = await served()
  expect(await ask(method, path, body)).toMatchObject({ status, body: { code, message: expect.any(String) as string } })
})

import { leadership } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const quick = () => ({ plugins: [leadership({ lease: "900ms", every: "100ms" })] })

test("one of several workers leads; when it stops another follows within a second", async () => {
  const { addWorker, app } = await startApp({ worker: false })
  const workers = [await addWorker(quick()), await addWorker(quick()), await addWorker(quick())]
  await until(() => workers.filter((worker) => worker.leads).length === 1)
  const first = workers.find((worker) => worker.leads)!
  const gained = app.hub.waitFor("leadership.gained", { timeout: "5s" })
  const lost = app.hub.waitFor("leadership.lost", { timeout: "5s" })
  const since = performance.now()
  await first.stop()
  expect((await lost).body.worker).toBe(first.id)
  expect((await gained).body.worker).not.toBe(first.id)
  expect(performance.now() - since).toBeLessThan(5_000)
  await until(() => workers.filter((worker) => worker.leads).length === 1)
})

test("a term that was taken away in the database is given up at its renewal", async () => {
  const { worker, sql, app } = await startApp(quick())
  await until(() => worker.leads)
  const lost = app.hub.waitFor("leadership.lost", { timeout: "5s" })
  await sql(
    "update $schema.leader set term = gen_random_uuid(), worker = 'other', expires_at = now() + interval '1 hour'",
  )
  expect((await lost).body.worker).toBe(worker.id)
  expect(worker.leads).toBe(false)
})

test("an expired term cannot be renewed, only taken anew under another name", async () => {
  const { worker, sql, app } = await startApp(quick())
  await until(() => worker.leads)
  const [before] = await sql<{ term: string }>("select term from $schema.leader")
  const gained = app.hub.waitFor("leadership.gained", { timeout: "10s" })
  await sql("update $schema.leader set expires_at = now() - interval '1 second'")
  expect((await gained).body.term).not.toBe(before!.term)
})

test('with mode "always" a worker leads at once, whatever others do', async () => {
  const always = () => ({ plugins: [leadership({ mode: "always" })] })
  const { addWorker } = await startApp({ worker: false })
  const [one, two] = [await addWorker(always()), await addWorker(always())]
  await until(() => one.leads && two.leads)
})

test.each([
  [{ poll_interval: 5 }, /every/],
  [{ every: "10s" }, /at least three renewals/],
  [{ mode: "allways" }, /Did you mean "always"/],
  [{ lease: 15 }, /did you mean/i],
])("the options %j are refused", (options, message) => {
  expect(() => leadership(options as never)).toThrow(message)
})

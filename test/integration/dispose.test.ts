import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, rejection, until, type Fixture } from "../support/app.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

const task = defineJob<undefined, string>({ name: "task" })

test("leaving the block of an `await using` worker lets its jobs finish and stops it", async () => {
  const open = gate()
  let kept: Worker
  const job = await app.push(task)
  {
    await using worker = new Worker(app, {
      id: "scoped",
      handlers: [task.handler(() => open.opened.then(() => "done"))],
    })
    kept = worker
    await worker.start()
    await until(() => worker.running === 1, "it runs")
    open.open()
  }
  expect(kept.state).toBe("stopped")
  expect(await job.get()).toMatchObject({ state: "succeeded", result: "done" })
  const { rowCount } = await own.pool.query("select 1 from millrace.workers where id = 'scoped'")
  expect(rowCount).toBe(0)
})

test("an error in the block stops the worker, and is what comes out", async () => {
  let kept: Worker | undefined
  const error = await rejection(
    (async () => {
      await using worker = new Worker(app)
      kept = worker
      await worker.start()
      throw new Error("from the block")
    })(),
  )
  expect(error.message).toBe("from the block")
  expect(kept!.state).toBe("stopped")
})

test("a worker that was never started is disposed of as well", async () => {
  let kept: Worker
  {
    await using worker = new Worker(app)
    kept = worker
  }
  expect(kept.state).toBe("stopped")
})

test("worker and app in one block end in order: the worker's outcomes are saved before the connections close", async () => {
  const job = await app.push(task)
  let kept: Millrace
  let started = false
  {
    await using other = new Millrace({ dsn: own.url, logger: false })
    await using worker = new Worker(other, { handlers: [task.handler(async () => ((started = true), "saved"))] })
    kept = other
    await worker.start()
    await until(() => started, "it runs")
  }
  expect(await job.get()).toMatchObject({ state: "succeeded", result: "saved", claims: 1 })
  expect(await rejection(kept.push(task))).toMatchObject({ code: "MILLRACE_CLOSED" })
  const { rows } = await own.pool.query<{ count: number }>(
    `select count(*)::int from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
  )
  expect(rows[0]!.count).toBeLessThanOrEqual(20) // those of `own` and `app` alone
})

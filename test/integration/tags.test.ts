import { hostname } from "node:os"
import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { collector, fixture, until, type Fixture } from "../support/app.ts"
import { ended } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
const log = collector()
beforeAll(async () => {
  own = await fixture()
  app = await own.app({ logger: log })
})
afterAll(() => own.close())

test("a queue runs where any of its globs matches any tag of the worker", async () => {
  await app.declareQueue({ name: "gpu", tags: ["has=gpu", "has=tpu-*"] })
  await using plain = await own.worker(app)
  await using gpu = await own.worker(app, { tags: ["has=gpu"] })
  await using tpu = await own.worker(app, { tags: ["zone=a", "has=tpu-v5"] })
  await using almost = await own.worker(app, { tags: ["has=gpus", "xhas=gpu"] })
  expect(plain.queues).toEqual(["default"])
  expect([...gpu.queues].sort()).toEqual(["default", "gpu"])
  expect([...tpu.queues].sort()).toEqual(["default", "gpu"])
  expect(almost.queues).toEqual(["default"])
})

test("jobs of a placed queue run on the workers that match, alone", async () => {
  await app.declareQueue({ name: "placed", tags: ["site=here"] })
  const where = defineJob<undefined, string>({ name: "where", queue: "placed" })
  await using _away = await own.worker(app, { handlers: [where.handler(() => "away")] })
  const job = await app.push(where)
  await using _here = await own.worker(app, { tags: ["site=here"], handlers: [where.handler(() => "here")] })
  expect(await job.result({ timeout: "20s" })).toBe("here")
})

test("every worker has tags of its own: its id, its host and its runtime", async () => {
  await using worker = await own.worker(app, { id: "me", tags: ["mine"] })
  expect(worker.tags).toEqual(
    expect.arrayContaining([
      "*",
      "worker_id=me",
      `hostname=${hostname()}`,
      `runtime=node/${process.versions.node}`,
      "mine",
    ]),
  )
  await app.declareQueue({ name: "for-me", tags: ["worker_id=me"] })
  await app.declareQueue({ name: "for-node", tags: ["runtime=node/*"] })
  await app.declareQueue({ name: "for-nobody", tags: [] })
  await until(() => worker.queues.includes("for-me") && worker.queues.includes("for-node"), "both are placed")
  expect(worker.queues).not.toContain("for-nobody")
})

test("a queue whose tags change moves, and its running jobs finish where they are", async () => {
  await app.declareQueue({ name: "moving", tags: ["site=a"] })
  const move = defineJob<undefined, string>({ name: "move", queue: "moving" })
  let finish!: () => void
  const finished = new Promise<void>((resolve) => (finish = resolve))
  await using a = await own.worker(app, { tags: ["site=a"], handlers: [move.handler(() => finished.then(() => "a"))] })
  await using b = await own.worker(app, { tags: ["site=b"], handlers: [move.handler(() => "b")] })
  const first = await app.push(move)
  await until(() => a.running === 1, "it runs on a")
  await app.declareQueue({ name: "moving", tags: ["site=b"] }, { upsert: true })
  await until(() => !a.queues.includes("moving") && b.queues.includes("moving"), "it has moved")
  expect(await (await app.push(move)).result({ timeout: "20s" })).toBe("b")
  finish()
  expect(await first.result({ timeout: "20s" })).toBe("a")
})

test("a broken pattern that somebody wrote into the row matches nothing, and ends nobody", async () => {
  await app.declareQueue("hand-made")
  await own.pool.query(`update millrace.queues set tags = '{"[", "{"}' where name = 'hand-made'`)
  await using worker = await own.worker(app)
  expect(worker.queues).toContain("default")
  expect(worker.queues).not.toContain("hand-made")
})

test("a worker that matches no queue says so, once", async () => {
  const only = await fixture()
  try {
    const lines = collector()
    const alone = await only.app({ logger: lines })
    await alone.declareQueue({ name: "default", tags: ["has=gpu"] })
    const worker = await only.worker(alone, { queuePoll: "50ms" })
    expect(worker.queues).toEqual([])
    const told = () => lines.lines.filter(({ message }) => message.includes("runs nothing"))
    await until(() => told().length > 0, "it says so")
    // A queue that changes is read again; the warning is not repeated.
    await alone.declareQueue({ name: "default", tags: ["has=gpu"], concurrency: 2 }, { upsert: true })
    await alone.declareQueue({ name: "default" }, { upsert: true })
    await until(() => worker.queues.includes("default"), "it has a queue now")
    expect(told()).toHaveLength(1)
  } finally {
    await only.close()
  }
})

test("tags of jobs have nothing to do with placement", async () => {
  const tagged = defineJob({ name: "tagged", tags: ["has=gpu"] })
  await using _worker = await own.worker(app, { handlers: [tagged.handler(() => {})] })
  expect(await ended(app, await app.push(tagged))).toMatchObject({ state: "succeeded", tags: ["has=gpu"] })
})

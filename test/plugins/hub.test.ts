import { defineJob } from "millrace"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const work = defineJob<string>({ name: "work", maxAttempts: 1 })

test("handlers hear what is emitted, until they are removed; one that throws disturbs nobody", async () => {
  const { app, log } = await startApp({ worker: false })
  const heard: unknown[] = []
  app.hub.on("greeting", () => {
    throw new Error("deaf")
  })
  app.hub.on("greeting", async () => {
    throw new Error("deaf later")
  })
  const remove = app.hub.on("greeting", ({ body, remote }) => heard.push([body, remote]))
  app.hub.once("greeting", ({ body }) => heard.push(["once", body]))
  app.hub.onAny(({ name }) => heard.push(name))
  app.hub.emit("greeting", "hello")
  remove()
  app.hub.emit("greeting", "again")
  expect(heard).toEqual([["hello", false], ["once", "hello"], "greeting", "greeting"])
  await until(() => log.lines.filter((line) => JSON.stringify(line).includes("threw")).length === 2)
})

test("an event for the cluster is heard once by each process, also by the one that sent it", async () => {
  const { app, addApp } = await startApp({ worker: false })
  const other = addApp()
  const heard: string[] = []
  app.hub.on("news", ({ body, remote }) => heard.push(`own ${JSON.stringify(body)} ${remote}`))
  other.hub.on("news", ({ body, remote }) => heard.push(`other ${JSON.stringify(body)} ${remote}`))
  await until(() => {
    if (!heard.some((line) => line.startsWith("other"))) app.hub.emit("news", { n: 1 }, { cluster: true })
    return heard.some((line) => line.startsWith("other"))
  })
  heard.length = 0
  app.hub.emit("news", { n: 2 }, { cluster: true })
  app.hub.emit("news", { n: 2 }, { cluster: true })
  await until(() => heard.filter((line) => line.startsWith("other") && line.includes("2")).length === 2)
  expect(heard.filter((line) => line.startsWith("own"))).toEqual(['own {"n":2} false', 'own {"n":2} false'])
  expect(heard).toContain('other {"n":2} true')
})

test("waitFor resolves with the first of several events, times out, and ends with its signal", async () => {
  const { app } = await startApp({ worker: false })
  const first = app.hub.waitFor(["a", "b"])
  app.hub.emit("b", 5)
  expect(await first).toMatchObject({ name: "b", body: 5 })
  await expect(app.hub.waitFor("c", { timeout: "10ms" })).rejects.toMatchObject({ code: "MILLRACE_TIMEOUT" })
  const stop = new AbortController()
  const waiting = app.hub.waitFor("c", { signal: stop.signal })
  stop.abort(new Error("enough"))
  await expect(waiting).rejects.toThrow("enough")
})

test("an event that is too large for a notification, or no JSON, is refused", async () => {
  const { app } = await startApp({ worker: false })
  const large = () => app.hub.emit("big", "x".repeat(7_000), { cluster: true })
  expect(large).toThrow(expect.objectContaining({ code: "MILLRACE_EVENT_TOO_LARGE" }))
  expect(() => app.hub.emit("big", 1n, { cluster: true })).toThrow(
    expect.objectContaining({ code: "MILLRACE_BAD_JSON" }),
  )
})

test("jobs, queues and workers tell the hub what happens to them", async () => {
  const { app, addWorker } = await startApp({ worker: false })
  const heard: string[] = []
  app.hub.onAny(({ name, body }) => {
    const about = body as { name?: string; queue?: string; plugin?: string }
    if (!name.startsWith("plugin") && !name.startsWith("leadership"))
      heard.push(`${name} ${about.name ?? about.queue ?? ""}`.trim())
  })
  await app.declareQueue({ name: "one", concurrency: 1 })
  const worker = await addWorker({
    handlers: [
      work.handler((what) => {
        if (what === "bad") throw new Error("no")
      }),
    ],
  })
  const jobs = [await app.push(work, "good", { queue: "one" }), await app.push(work, "bad", { queue: "one" })]
  await app.wait(jobs, { timeout: "10s" })
  await app.pauseQueue("one")
  await app.resumeQueue("one")
  await app.deleteQueue("one")
  await worker.stop()
  for (const name of [
    "queue.declared one",
    "worker.started",
    "worker.announced",
    "queue.pushed one",
    "queue.full one",
    "job.started work",
    "job.succeeded work",
    "job.failed work",
    "queue.paused one",
    "queue.resumed one",
    "queue.removed one",
    "worker.stopped",
  ])
    expect(heard).toContain(name)
})

test("events of jobs reach other processes only when asked for", async () => {
  const { app, addApp, addWorker } = await startApp({ worker: false })
  const other = addApp()
  const heard: string[] = []
  other.hub.on("job.succeeded", ({ body, remote }) => heard.push(`${body.worker} ${body.name} ${remote}`))
  await addWorker({ id: "telling", jobEvents: "cluster", handlers: [work.handler(() => {})] })
  await until(async () => {
    if (heard.length === 0) await (await app.push(work, "x")).result({ timeout: "10s" })
    return heard.length > 0
  })
  expect(heard[0]).toBe("telling work true")
})

// Server-sent events and WebSockets: snapshots, changes, going on where one was, and who may listen.
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { defineJob, meta } from "millrace"
import { type Visitor } from "millrace/web"
import { expect, onTestFinished, test } from "vitest"
import { WebSocket } from "ws"
import { until } from "../../support/app.ts"
import { host, startSite, visitors, type Site } from "./site.ts"

const job = defineJob<unknown>({ name: "job", queue: "mail" })

interface Event {
  readonly id: string
  readonly event: string
  readonly topic: string | null
  readonly data: any // oxlint-disable-line typescript/no-explicit-any
}

/** Reads a stream until the test ends, or `close`. */
async function listen(site: Site, topics: string, options: { as?: string; last?: string } = {}) {
  const abort = new AbortController()
  onTestFinished(() => abort.abort())
  const response = await site.handler(
    new Request(`${host}/api/v1/events?topics=${topics}`, {
      headers: { "x-visitor": options.as ?? "admin", ...(options.last ? { "last-event-id": options.last } : {}) },
      signal: abort.signal,
    }),
  )
  const events: Event[] = []
  const state = { ended: false, heartbeats: 0 }
  void (async () => {
    let rest = ""
    const decoder = new TextDecoder()
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n\n")
      rest = parts.pop()!
      for (const part of parts) {
        if (part.startsWith(": heartbeat")) state.heartbeats += 1
        const [, event] = /^event: (.*)$/m.exec(part) ?? []
        const [, data] = /^data: (.*)$/m.exec(part) ?? []
        const [, id = ""] = /^id: (.*)$/m.exec(part) ?? []
        if (event) events.push({ id, event, ...(JSON.parse(data!) as { topic: string; data: unknown }) })
      }
    }
    state.ended = true
  })().catch(() => (state.ended = true))
  return {
    response,
    events,
    state,
    close: () => abort.abort(),
    next: (found: (event: Event) => boolean, what: string) => until(() => events.find(found), what),
  }
}

const numberOf = ({ id }: Event): number => Number(id.split(".")[1])

test("a topic begins with a snapshot and goes on with what changes, under numbers that only grow", async () => {
  const site = await startSite()
  const { events, response, next } = await listen(site, "queues,workers")
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8")
  await until(() => events.length >= 2, "snapshots")
  expect(events.map(({ event, topic }) => `${event} ${topic}`).toSorted()).toEqual([
    "snapshot queues",
    "snapshot workers",
  ])
  await site.app.declareQueue("mail")
  expect(await next(({ event, data }) => event === "delta" && "mail" in data.set, "a queue")).toMatchObject({
    topic: "queues",
  })
  await site.app.deleteQueue("mail")
  await next(({ event, data }) => event === "delta" && data.removed.includes("mail"), "no queue")
  const numbers = events.map(numberOf)
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
})

test("a client that was cut off gets what it missed, once and without a new snapshot", async () => {
  const site = await startSite()
  const first = await listen(site, "queues")
  await site.app.declareQueue("one")
  const seen = await first.next(({ data }) => data.set && "one" in data.set, "one")
  first.close()
  const watcher = await listen(site, "queues")
  await site.app.declareQueue("two")
  await watcher.next(({ data }) => data.set && "two" in data.set, "two")
  const again = await listen(site, "queues", { last: seen.id })
  await site.app.declareQueue("three")
  await again.next(({ data }) => "three" in data.set, "three")
  expect(again.events.map(({ event }) => event).filter((event) => event !== "delta")).toEqual([])
  const told = again.events.flatMap(({ data }) => Object.keys(data.set))
  expect(told.filter((name) => name === "two")).toHaveLength(1)
  expect(told).not.toContain("one")
})

test("where history is lost, or the topics are others, a reset says so before the snapshot", async () => {
  const site = await startSite()
  const { events, close } = await listen(site, "queues")
  const [snapshot] = await until(() => (events.length > 0 ? events : undefined), "snapshot")
  close()
  for (const [topics, last] of [
    ["queues", `other000.${numberOf(snapshot!)}.x`],
    ["queues,workers", snapshot!.id],
    ["queues", snapshot!.id.replace(/\.\d+\./, ".999999.")],
  ] as const) {
    const again = await listen(site, topics, { last })
    await until(() => again.events.some(({ event }) => event === "snapshot"), "snapshot")
    expect(again.events[0]).toMatchObject({ event: "reset", data: { topics: topics.split(",") } })
  }
})

test("a job's changes and its end are told, redacted, and only to those who may see it", async () => {
  const known = { ...visitors, acme: { name: "ann", role: "viewer", rule: meta("tenant").eq("acme") } } as const
  const site = await startSite({ known })
  const pushed = await site.app.push(job, { password: "hunter22" }, { delay: "1h" })
  const { events, next } = await listen(site, `job:${pushed.id}`)
  const other = await listen(site, `job:${pushed.id},jobs:state:scheduled`, { as: "acme" })
  await next(({ event, data }) => event === "snapshot" && data.state === "scheduled", "snapshot")
  await site.ask("PATCH", `/jobs/${pushed.id}`, { body: { priority: 5 } })
  await next(({ event, data }) => event === "delta" && data.set.priority === 5, "priority")
  await pushed.delete()
  await next(({ event }) => event === "gone", "gone")
  expect(JSON.stringify(events)).not.toContain("hunter22")
  await until(() => other.events.length >= 2, "answers")
  const told = new Map(other.events.map(({ topic, event, data }) => [topic, [event, data]]))
  expect(told.get(`job:${pushed.id}`)).toEqual(["gone", null])
  expect(told.get("jobs:state:scheduled")).toEqual(["snapshot", {}])
})

test("events of the hub are told, of queues that one may see", async () => {
  const known = { ...visitors, mail: { name: "mia", role: "viewer", queues: ["mail"] } } as const
  const site = await startSite({ known })
  const all = await listen(site, "events")
  const some = await listen(site, "events", { as: "mail" })
  await until(() => all.events.length > 0 && some.events.length > 0, "snapshots")
  await site.app.declareQueue("billing")
  await site.app.declareQueue("mail")
  await all.next(({ event, data }) => event === "events" && JSON.stringify(data).includes("mail"), "mail")
  await some.next(({ event, data }) => event === "events" && JSON.stringify(data).includes("mail"), "mail")
  expect(JSON.stringify(all.events)).toContain("billing")
  expect(JSON.stringify(some.events)).not.toContain("billing")
})

test("a stream ends when the visitor may not see it any more", async () => {
  const known: Record<string, Visitor | undefined> = { ...visitors }
  const site = await startSite({ known: known as Record<string, Visitor>, heartbeat: 50 })
  const { events, state } = await listen(site, "queues", { as: "viewer" })
  await until(() => state.heartbeats >= 2, "heartbeats")
  known.viewer = { name: "vera", permissions: [] }
  await until(() => state.ended, "the end")
  expect(events.at(-1)).toMatchObject({ event: "end" })
})

test("topics that do not exist, or that one may not see, are refused", async () => {
  const site = await startSite({ known: { ...visitors, events: { name: "eve", permissions: ["events:read"] } } })
  expect((await site.ask("GET", "/events")).status).toBe(400)
  expect((await site.ask("GET", "/events?topics=nothing")).status).toBe(400)
  expect((await site.ask("GET", "/events?topics=queues", { as: "events" })).status).toBe(403)
  expect((await site.ask("GET", "/events?topics=queues", { as: "nothing" })).status).toBe(403)
  expect((await site.ask("GET", "/events?topics=queues", { as: "" })).status).toBe(401)
})

async function socketServer(site: Site) {
  const server = createServer((request, response) => void site.handler.node(request, response))
  server.on("upgrade", (request, socket, head) => {
    if (!site.handler.upgrade(request, socket, head)) socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

function connect(at: string, path: string, headers: Record<string, string>) {
  const socket = new WebSocket(`ws://${at}/api/v1/${path}`, { headers })
  onTestFinished(() => socket.terminate())
  const messages: Event[] = []
  socket.on("message", (data) => messages.push(JSON.parse((data as Buffer).toString("utf8")) as Event))
  const opened = new Promise<number>((resolve) => {
    socket.on("open", () => resolve(101))
    socket.on("unexpected-response", (_, response) => resolve(response.statusCode!))
    socket.on("error", () => {})
  })
  return { socket, messages, opened }
}

test("a WebSocket tells the same, under the same authorisation and from our own pages only", async () => {
  const site = await startSite()
  const at = await socketServer(site)
  const origin = `http://${at}`
  const { messages, opened } = connect(at, "events?topics=queues", { "x-visitor": "viewer", origin })
  expect(await opened).toBe(101)
  await until(() => messages.some(({ event }) => event === "snapshot"), "snapshot")
  await site.app.declareQueue("mail")
  await until(() => messages.find(({ event, data }) => event === "delta" && "mail" in data.set), "delta")
  expect(await connect(at, "events?topics=queues", { origin }).opened).toBe(401)
  expect(await connect(at, "events?topics=queues", { "x-visitor": "nothing", origin }).opened).toBe(403)
  expect(
    await connect(at, "events?topics=queues", { "x-visitor": "admin", origin: "https://evil.example" }).opened,
  ).toBe(403)
  expect(await connect(at, "events?topics=queues", { "x-visitor": "admin" }).opened).toBe(403)
  expect(await connect(at, "events?topics=none", { "x-visitor": "admin", origin }).opened).toBe(400)
  const { secret } = (
    await site.ask("POST", "/tokens", { body: { name: "t", scopes: ["events:read", "queues:read"] } })
  ).body
  expect(await connect(at, "events?topics=queues", { authorization: `Bearer ${secret}` }).opened).toBe(101)
  expect(await connect(at, "events?topics=workers", { authorization: `Bearer ${secret}` }).opened).toBe(403)
})

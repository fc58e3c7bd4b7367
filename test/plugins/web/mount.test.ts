// Mounted into real frameworks, behind a proxy that takes the prefix away, in a worker, and alone.
import { once } from "node:events"
import fs from "node:fs"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import os from "node:os"
import path from "node:path"
import { fileURLToPath } from "node:url"
import express from "express"
import Fastify from "fastify"
import { Hono } from "hono"
import { Millrace } from "millrace"
import { passwordAuth, serveWeb, web, webHandler, type WebHandler, type WebPlugin } from "millrace/web"
import { Worker, type Plugin } from "millrace/worker"
import { expect, onTestFinished, test } from "vitest"
import { collector, rejection, shortClocks } from "../../support/app.ts"
import { fileDatabase, startApp } from "../../support/start-app.ts"
import { WebSocket } from "ws"
import { nextServer } from "./next.ts"
import { startSite, visitors } from "./site.ts"

async function listening(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A dashboard as the build leaves it. */
function builtDashboard(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "millrace-assets-"))
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }))
  fs.mkdirSync(path.join(folder, "assets"))
  fs.writeFileSync(
    path.join(folder, "index.html"),
    '<!doctype html><base href="/" /><script type="module" src="./assets/index-AbCdEf12.js"></script><p>page</p>',
  )
  fs.writeFileSync(path.join(folder, "assets/index-AbCdEf12.js"), `console.log(${JSON.stringify("x".repeat(2_000))})`)
  return folder
}

/** What must work wherever it is mounted: a page, a deep link, a file, reading, writing, and a stream. */
async function works(url: string, base: string) {
  const headers = {
    "x-visitor": "admin",
    "content-type": "application/json",
    origin: new URL(url).origin,
    "sec-fetch-site": "same-origin",
  }
  const page = await fetch(`${url}/jobs-page/7?q=state:failed`, { headers })
  const html = await page.text()
  expect(html).toContain(`<base href="${base}/">`)
  expect(html).toContain(`src="${base}/assets/index-AbCdEf12.js"`)
  expect(page.headers.get("content-security-policy")).toContain("script-src 'self'")
  const file = await fetch(`${url}/assets/index-AbCdEf12.js`, { headers })
  expect(file.headers.get("cache-control")).toBe("public, max-age=31536000, immutable")
  expect(await file.text()).toContain("xxx")
  const pushed = await fetch(`${url}/api/v1/jobs`, {
    method: "POST",
    headers,
    body: JSON.stringify({ name: "x", payload: { a: 1 } }),
  })
  const made = (await pushed.json()) as { id: string }
  expect([pushed.status, made]).toEqual([201, { id: expect.any(String) as string, duplicate: false }])
  const read = await fetch(`${url}/api/v1/jobs/${made.id}`, { headers })
  expect(await read.json()).toMatchObject({ name: "x", payload: { a: 1 } })
  const abort = new AbortController()
  const stream = await fetch(`${url}/api/v1/events?topics=queues`, { headers, signal: abort.signal })
  const reader = stream.body!.getReader()
  let text = ""
  while (!text.includes("event: snapshot")) text += new TextDecoder().decode((await reader.read()).value)
  abort.abort()
  const deleted = await fetch(`${url}/api/v1/jobs/${made.id}`, { method: "DELETE", headers, body: "{}" })
  expect(deleted.status).toBe(204)
  expect((await fetch(`${url}/api/v1/jobs`)).status).toBe(401)
}

const mounts: Record<string, (handler: WebHandler) => Promise<string>> = {
  Express: async (handler) => listening(express().use("/a/b", handler.node) as RequestListener),
  "Express behind express.json()": async (handler) =>
    listening(express().use(express.json()).use("/a/b", handler.node) as RequestListener),
  Fastify: async (handler) => {
    const fastify = Fastify({ forceCloseConnections: true })
    fastify.all("/a/b/*", async (request, reply) => {
      reply.hijack()
      await handler.node(request.raw, reply.raw, request.body)
    })
    onTestFinished(() => fastify.close())
    return fastify.listen({ host: "127.0.0.1", port: 0 })
  },
  "Fastify with bodies left alone": async (handler) => {
    const fastify = Fastify({ forceCloseConnections: true })
    await fastify.register((own, _, done) => {
      own.removeAllContentTypeParsers()
      own.addContentTypeParser("*", (_request, _body, next) => next(null))
      own.all("/a/b/*", async (request, reply) => {
        reply.hijack()
        await handler.node(request.raw, reply.raw)
      })
      done()
    })
    onTestFinished(() => fastify.close())
    return fastify.listen({ host: "127.0.0.1", port: 0 })
  },
  Hono: async (handler) => {
    const hono = new Hono().all("/a/b/*", (c) => handler(c.req.raw))
    const { getRequestListener } = await import("@hono/node-server")
    const listener = getRequestListener(hono.fetch)
    return listening((request, response) => void listener(request, response))
  },
  "Next's app router": async (handler) => {
    const route = { dynamic: "force-dynamic", GET: handler, POST: handler, PUT: handler, PATCH: handler } as const
    return listening(nextServer({ ...route, DELETE: handler }, "/a/b"))
  },
  "Next below a basePath": async (handler) => {
    const route = { GET: handler, POST: handler, PUT: handler, PATCH: handler, DELETE: handler }
    return listening(nextServer(route, "/b", "/a"))
  },
  "a plain server": async (handler) => listening((request, response) => void handler.node(request, response)),
}

test.each(Object.entries(mounts))("it is mounted into %s", async (_, mount) => {
  const { handler } = await startSite({ basePath: "/a/b", assets: builtDashboard() })
  await works(`${await mount(handler)}/a/b`, "/a/b")
})

test("an app has a handler of its own, whose code is loaded with the first request", async () => {
  const { app } = await startApp({ worker: false })
  const handler = app.webHandler({
    auth: (request) => visitors[request.headers.get("x-visitor") ?? ""],
    basePath: "/a/b",
    assets: builtDashboard(),
  })
  await handler.close() // before it was used: nothing to do
  onTestFinished(() => handler.close())
  await works(`${await mounts.Express!(handler)}/a/b`, "/a/b")
  await works(`${await mounts.Hono!(handler)}/a/b`, "/a/b")
  expect(() => app.webHandler({})).toThrow(expect.objectContaining({ code: "MILLRACE_AUTH_NEEDED" }))
  expect(() => app.webHandler({ prefix: "/x" } as never)).toThrow(/basePath/)
})

test("its first request may be a WebSocket", async () => {
  const { app } = await startApp({ worker: false })
  const handler = app.webHandler({ auth: () => visitors.admin!, basePath: "/a/b" })
  onTestFinished(() => handler.close())
  const server = createServer()
  const ours: boolean[] = []
  server.on("upgrade", (request, socket, head) => {
    ours.push(handler.upgrade(request, socket, head))
    if (!ours.at(-1)) socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => void server.close())
  const url = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const socket = new WebSocket(`ws://${url}/a/b/api/v1/events?topics=queues`, { origin: `http://${url}` })
  const [data] = (await once(socket, "message")) as [Buffer]
  expect(JSON.parse(data.toString("utf8"))).toMatchObject({ event: "snapshot", topic: "queues" })
  socket.terminate()
  const other = new WebSocket(`ws://${url}/chat`)
  await once(other, "error")
  expect(ours).toEqual([true, false])
})

test("an app that serves no dashboard loads none of its code", () => {
  const seen = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    const code = fs.readFileSync(file, "utf8")
    for (const [, from, whole] of code.matchAll(/\bfrom "([^"\n]+)";?$|^import "([^"\n]+)"/gm)) {
      const name = (from ?? whole)!
      if (name.startsWith(".")) visit(path.resolve(path.dirname(file), name))
      else seen.add(name)
    }
  }
  visit(fileURLToPath(import.meta.resolve("millrace")))
  expect(seen.size).toBeGreaterThan(50)
  expect([...seen].filter((name) => /hono|plugins.web.(app|handler|site)/.test(name))).toEqual([])
})

test("a proxy may take the prefix away", async () => {
  const { handler } = await startSite({ basePath: "/a/b", assets: builtDashboard() })
  await works(await listening((request, response) => void handler.node(request, response)), "/a/b")
})

test("pages are packed for those who take it, files outside of the folder do not exist, and what is missing is no page", async () => {
  const { handler } = await startSite({ assets: builtDashboard() })
  const get = (name: string, headers = {}) => handler(new Request(`http://jobs.example${name}`, { headers }))
  const packed = await get("/assets/index-AbCdEf12.js", { "accept-encoding": "gzip, br" })
  expect(packed.headers.get("content-encoding")).toBe("br")
  expect((await packed.arrayBuffer()).byteLength).toBeLessThan(200)
  const tag = packed.headers.get("etag")!
  expect((await get("/assets/index-AbCdEf12.js", { "if-none-match": tag })).status).toBe(304)
  expect((await get("/assets/none-AbCdEf12.js")).status).toBe(404)
  for (const name of ["/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/package.json", "/assets/../../package.json"]) {
    expect(await (await get(name)).text()).not.toMatch(/root:|"name"/)
  }
})

test("a worker serves it with the routes of its own plugins, and stops with it", async () => {
  const database = await fileDatabase()
  const log = collector()
  const plugin = web({ port: 0 })
  const app = new Millrace({ dsn: database.url, schema: "in_worker", logger: log, plugins: [plugin] })
  onTestFinished(() => app.close())
  await app.migrate()
  const own: Plugin = {
    name: "own",
    routes: [
      { method: "GET", path: "/id", permission: "own:read", handle: (_, ctx) => Response.json({ id: ctx.worker.id }) },
    ],
  }
  const worker = new Worker(app, { ...shortClocks, id: "w-1", plugins: [own] })
  onTestFinished(async () => void (await worker.forceStop()))
  await worker.start()
  await expect.poll(() => plugin.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/)
  const isLogin = ({ message }: { message: string }) => message.startsWith("sign in as")
  await expect.poll(() => log.lines.some(isLogin)).toBe(true)
  const { message } = log.lines.find(isLogin)!
  const [, name, password] = /^sign in as "(\w+)" with the password ([\w-]+)/.exec(message)!
  const url = plugin.url!
  const headers = {
    "content-type": "application/json",
    origin: url.replace(/\/$/, ""),
    "sec-fetch-site": "same-origin",
  }
  const login = await fetch(`${url}api/v1/login`, { method: "POST", headers, body: JSON.stringify({ name, password }) })
  const cookie = login.headers.get("set-cookie")!.split(";")[0]!
  expect(await (await fetch(`${url}api/v1/plugins/own/id`, { headers: { cookie } })).json()).toEqual({ id: "w-1" })
  expect((app.plugin<WebPlugin>("web").handler.login ?? {}).password).toBe(password)
  await worker.stop()
  expect(plugin.url).toBeUndefined()
  await rejection(fetch(url))
})

test("alone, it makes its own tables; what it may not reach without auth it refuses", async () => {
  const { app, sql } = await startApp({ worker: false })
  const server = await serveWeb(app, { port: 0, auth: passwordAuth({ users: { ada: "correct horse" } }) })
  onTestFinished(() => server.close())
  expect(server.login).toBeUndefined()
  const headers = { "content-type": "application/json", origin: server.url.replace(/\/$/, "") }
  const body = JSON.stringify({ name: "ada", password: "correct horse" })
  expect((await fetch(`${server.url}api/v1/login`, { method: "POST", headers, body })).status).toBe(200)
  expect(await sql("select count(*)::integer as count from $schema.web_sessions")).toEqual([{ count: 1 }])
  for (const host of ["0.0.0.0", "::", "192.168.1.1", "127.0.0.1.evil.example"]) {
    expect(await rejection(serveWeb(app, { host, port: 0 }))).toMatchObject({ code: "MILLRACE_AUTH_NEEDED" })
    expect(() => web({ host })).toThrow(expect.objectContaining({ code: "MILLRACE_AUTH_NEEDED" }))
  }
  expect(() => webHandler(app, {})).toThrow(expect.objectContaining({ code: "MILLRACE_AUTH_NEEDED" }))
  expect(() => web({ prefix: "/x" } as never)).toThrow(/basePath/)
  expect(() => passwordAuth({ users: { ada: "short" } })).toThrow(/at least 8/)
})

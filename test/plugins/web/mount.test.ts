// Mounted into real frameworks, behind a proxy that takes the prefix away, in a worker, and alone.
import fs from "node:fs"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import os from "node:os"
import path from "node:path"
import express from "express"
import Fastify from "fastify"
import { Hono } from "hono"
import { Millrace } from "millrace"
import { passwordAuth, serveWeb, web, webHandler, type WebHandler, type WebPlugin } from "millrace/web"
import { Worker, type Plugin } from "millrace/worker"
import { expect, onTestFinished, test } from "vitest"
import { collector, rejection, shortClocks } from "../../support/app.ts"
import { fileDatabase, startApp } from "../../support/start-app.ts"
import { startSite } from "./site.ts"

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
  Hono: async (handler) => {
    const hono = new Hono().all("/a/b/*", (c) => handler(c.req.raw))
    const { getRequestListener } = await import("@hono/node-server")
    const listener = getRequestListener(hono.fetch)
    return listening((request, response) => void listener(request, response))
  },
  "a plain server": async (handler) => listening((request, response) => void handler.node(request, response)),
}

test.each(Object.entries(mounts))("it is mounted into %s", async (_, mount) => {
  const { handler } = await startSite({ basePath: "/a/b", assets: builtDashboard() })
  await works(`${await mount(handler)}/a/b`, "/a/b")
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

// What examples/deploy promises: its program stops as a unit or a container would stop it, and both leave it enough time.
import { spawn, spawnSync } from "node:child_process"
import fs from "node:fs"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import path from "node:path"
import { defineJob, Millrace } from "millrace"
import { expect, onTestFinished, test } from "vitest"
import { testDatabase } from "./support/database.ts"
import { until } from "./support/until.ts"

const root = path.resolve(import.meta.dirname, "..")
const read = (name: string): string => fs.readFileSync(path.join(root, "examples/deploy", name), "utf8")
const call = defineJob<{ url: string }, number>({ name: "call" })

/** The compiled program, in a process of its own; whatever happens to the test, it does not stay. */
function start(url: string, ...args: string[]) {
  const child = spawn(process.execPath, [path.join(root, "build/examples/deploy/worker.js"), ...args], {
    env: { ...process.env, NODE_OPTIONS: "", DATABASE_URL: url, WORKER_ID: "worker-1" },
    stdio: ["ignore", "pipe", "pipe"],
  })
  onTestFinished(() => void child.kill("SIGKILL"))
  let output = ""
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text))
  const exit = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal })),
  )
  return { kill: (signal: NodeJS.Signals) => child.kill(signal), exit, output: () => output }
}

test("SIGTERM, as systemd and docker send it: the running job ends well, nothing new starts, and the process exits with 0", async () => {
  const database = await testDatabase()
  onTestFinished(() => database.close())
  expect(await start(database.url, "migrate").exit).toEqual({ code: 0, signal: null })

  const open: ServerResponse[] = []
  const server = createServer((_, response) => void open.push(response))
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  onTestFinished(() => (server.closeAllConnections(), void server.close()))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  await using app = new Millrace({ dsn: database.url, logger: false })
  const worker = start(database.url)
  const running = await app.push(call, { url })
  await until("the job runs", () => open.length === 1)
  await until("the worker leads", async () => (await app.workers())[0]?.leader)
  worker.kill("SIGTERM")
  await until("the worker stops: it leads no more", async () => !(await app.workers())[0]?.leader)
  const late = await app.push(call, { url })
  open[0]!.writeHead(200).end()
  expect({ ...(await worker.exit), output: worker.output() }).toMatchObject({ code: 0, signal: null })
  expect(await running.get()).toMatchObject({ state: "succeeded", result: 200, attempts: 1, worker: "worker-1" })
  expect(await late.get()).toMatchObject({ state: "pending", attempts: 0, crashes: 0 })
  expect(await app.workers()).toEqual([])
})

/** Seconds that the worker of the example takes at most: jobs finish, their signals fire, the database takes everything. */
function longestStop(): number {
  const [, timeout] = /shutdownTimeout: "(\d+)s"/.exec(read("worker.ts"))!
  const [, grace] = /grace: "(\d+)s"/.exec(read("worker.ts"))!
  return Number(timeout) + Number(grace) + Math.max(Number(timeout), 10)
}

test("the unit stops the worker alone, with SIGTERM, and waits for longer than it takes", () => {
  const unit = Object.fromEntries(
    [...read("millrace-worker@.service").matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  )
  expect(unit).toMatchObject({ KillSignal: "SIGTERM", KillMode: "mixed", Restart: "on-failure", Type: "exec" })
  expect(Number(unit.TimeoutStopSec)).toBeGreaterThan(longestStop())
  expect(unit.ExecStart).toMatch(/^\/usr\/bin\/node .*worker\.ts$/) // no shell, no npm: they would keep the signal
})

test("the container starts the worker itself, stops it with SIGTERM, and waits for longer than it takes", () => {
  const dockerfile = read("Dockerfile")
  expect(dockerfile).toMatch(/^STOPSIGNAL SIGTERM$/m)
  expect(JSON.parse(/^CMD (\[.*\])$/m.exec(dockerfile)![1]!)).toEqual(["node", "--enable-source-maps", "worker.ts"])
  expect(dockerfile).toMatch(/^USER node$/m)
  const [, grace] = /stop_grace_period: (\d+)s/.exec(read("compose.yml"))!
  expect(Number(grace)).toBeGreaterThan(longestStop())
})

const has = (program: string, ...args: string[]): boolean => spawnSync(program, args).status === 0

test.runIf(has("systemd-analyze", "--version"))("systemd finds nothing wrong with the units", () => {
  const units = ["millrace-worker@.service", "millrace-migrate.service"]
  const files = units.map((name) => path.join(root, "examples/deploy", name))
  const { stderr } = spawnSync("systemd-analyze", ["verify", ...files], { encoding: "utf8" })
  // Whether node is installed where the unit says is the machine's business.
  expect(stderr.split("\n").filter((line) => line !== "" && !/not executable|No such file/.test(line))).toEqual([])
})

test.runIf(has("docker", "compose", "version"))("docker finds nothing wrong with the compose file", () => {
  const file = path.join(root, "examples/deploy/compose.yml")
  const { status, stderr } = spawnSync("docker", ["compose", "-f", file, "config", "-q"], {
    env: { ...process.env, POSTGRES_PASSWORD: "x" },
    encoding: "utf8",
  })
  expect({ status, stderr }).toMatchObject({ status: 0 })
})

// Owns one PostgreSQL server and its folder for the process that started it (tools/postgres.mjs), and outlives that
// process just long enough to clean up: the end of stdin means that the owner is gone, even by SIGKILL.
//
// Orders come as lines of JSON on stdin ({ do: "start" | "kill" | "halt", port? }); each is answered by one line on
// stdout, { pid } or { error }. The end of stdin stops the server, removes the folder and ends this process.
import { spawn, spawnSync } from "node:child_process"
import { readFileSync, rmSync } from "node:fs"
import path from "node:path"
import readline from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"

/** @typedef {{ folder: string, data: string, postgres: string, args: string[], identity: object, env: Record<string, string> }} Plan */
/** @typedef {{ child: import("node:child_process").ChildProcess, closed: Promise<void>, log: () => string }} Server */

/** @type {Plan} */
const plan = JSON.parse(process.env.MILLRACE_PG_PLAN ?? "{}")
/** @type {Server | undefined} */
let server

/** @param {number} port @returns {Server} */
function spawnServer(port) {
  const child = spawn(plan.postgres, [...plan.args, "-p", String(port)], {
    ...plan.identity,
    env: plan.env,
    cwd: "/",
    stdio: ["ignore", "ignore", "pipe"],
  })
  let log = ""
  child.stderr?.setEncoding("utf8").on("data", (text) => (log = (log + text).slice(-20_000)))
  // "close", not "exit": backends hold the pipe too, so that after a SIGKILL of the postmaster this waits for them.
  /** @type {Promise<void>} */
  const closed = new Promise((resolve) => child.once("close", () => resolve()).once("error", () => resolve()))
  return { child, closed, log: () => log }
}

/** @param {Server} candidate */
async function ready(candidate) {
  const { child, log } = candidate
  const running = () => child.pid !== undefined && child.exitCode === null && child.signalCode === null
  while (running() && !log().includes("ready to accept connections")) await sleep(10)
  if (!running()) await candidate.closed // its last words are in the log then
  return running()
}

/** @param {number} port */
async function start(port) {
  const candidate = spawnServer(port)
  if (!(await ready(candidate))) throw new Error(candidate.log() || `could not run ${plan.postgres}`)
  server = candidate
}

/** A crash of the server: nothing is flushed, no client is told. */
async function kill() {
  server?.child.kill("SIGKILL")
  await server?.closed
  server = undefined
}

/** A fast shutdown; an immediate one if a client holds it up for ten seconds. */
async function halt() {
  const impatience = setTimeout(() => server?.child.kill("SIGQUIT"), 10_000)
  server?.child.kill("SIGINT")
  await server?.closed
  clearTimeout(impatience)
  server = undefined
}

/** A killed server leaves its System V segment behind; the seventh line of postmaster.pid names it. */
function removeSharedMemory() {
  try {
    const id = readFileSync(path.join(plan.data, "postmaster.pid"), "utf8").split("\n")[6]?.trim().split(/\s+/)[1]
    if (id) spawnSync("ipcrm", ["-m", id], { stdio: "ignore" })
  } catch {
    // no such file: the server was shut down cleanly
  }
}

/** @param {{ do: string, port?: number }} order */
async function obey(order) {
  try {
    if (order.do === "start") await start(Number(order.port))
    else if (order.do === "kill") await kill()
    else await halt()
    return { pid: server?.child.pid }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {}) // only the owner's end counts
process.stdout.on("error", () => {}) // the owner may be gone

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await obey(JSON.parse(line))) + "\n")
}
await halt()
removeSharedMemory()
rmSync(plan.folder, { recursive: true, force: true })
process.exit(0)

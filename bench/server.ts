// The PostgreSQL server measured on: the one named by DATABASE_URL, or one of our own with durable defaults.
import { readFileSync } from "node:fs"
import pg from "pg"
import { startPostgres } from "../tools/postgres.mjs"
import { readProcess } from "./measure.ts"

export interface Server {
  url: string
  version: string
  /** Null when it does not run on this machine: its CPU cannot be read then. */
  postmaster: number | null
  settings: Record<string, string>
  stop(): Promise<void>
}

/** Everything else stays PostgreSQL's default: commits wait for the disk. */
const ownSettings = { shared_buffers: "1GB", max_connections: "200", synchronous_commit: "on" }

/** What a reader has to know to judge the figures. */
const reported = ["fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_connections", "autovacuum"]

export async function startServer(): Promise<Server> {
  const running = await startPostgres({ settings: ownSettings, fsync: true }) // or the one of DATABASE_URL
  try {
    return { ...(await inspect(running.url)), stop: () => running.stop() }
  } catch (error) {
    await running.stop()
    throw error
  }
}

async function inspect(url: string): Promise<Omit<Server, "stop">> {
  const db = await connect(url)
  try {
    const { rows } = await db.query<{ version: string; backend: number }>(
      "select current_setting('server_version') as version, pg_backend_pid() as backend",
    )
    const { version = "unknown", backend = 0 } = rows[0] ?? {}
    const settings = await readSettings(db)
    return { url, version, postmaster: isLocal(url) ? findPostmaster(backend) : null, settings }
  } finally {
    await db.end()
  }
}

async function readSettings(db: pg.Client): Promise<Record<string, string>> {
  const { rows } = await db.query<{ name: string; value: string }>(
    "select name, current_setting(name) as value from pg_settings where name = any($1)",
    [reported],
  )
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
}

function isLocal(url: string): boolean {
  const { hostname, searchParams } = new URL(url)
  return ["", "localhost", "127.0.0.1", "[::1]"].includes(searchParams.get("host") ?? hostname)
}

/** A session's process is the postmaster's child, if it is a process of this machine (and not of a container). */
function findPostmaster(backend: number): number | null {
  try {
    const name = readFileSync(`/proc/${backend}/comm`, "utf8")
    return name.startsWith("postgres") ? (readProcess(backend)?.parent ?? null) : null
  } catch {
    return null
  }
}

export async function connect(url: string): Promise<pg.Client> {
  const db = new pg.Client({ connectionString: url, application_name: "millrace bench" })
  // Without a listener, a lost connection would end the process before it has cleaned up.
  db.on("error", (error) => process.stderr.write(`${error.message}\n`))
  await db.connect()
  return db
}

let databases = 0

/** Lends a database that did not exist before and does not afterwards. */
export async function withDatabase<T>(server: Server, use: (url: string) => Promise<T>): Promise<T> {
  const name = `millrace_bench_${process.pid}_${++databases}`
  const admin = await connect(server.url)
  try {
    await admin.query(`create database ${name}`)
    const url = new URL(server.url)
    url.pathname = `/${name}`
    return await use(url.href)
  } finally {
    await admin.query(`drop database if exists ${name} with (force)`)
    await admin.end()
  }
}

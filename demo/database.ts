// A database for this run alone: on a server of our own, or on the one that DATABASE_URL names.
import pg from "pg"
import { startPostgres } from "../tools/postgres.mjs"
import { messageOf, Problem } from "./problem.ts"

export interface Database extends AsyncDisposable {
  url: string
  pool: pg.Pool
  version: string
  /** Whether the server is ours, and goes with us. */
  own: boolean
}

export async function openDatabase(): Promise<Database> {
  const own = !process.env.DATABASE_URL
  const server = await startPostgres().catch((error: unknown) => {
    throw new Problem(inOneLine(error))
  })
  const name = own ? "millrace_demo" : `millrace_demo_${process.pid}`
  try {
    const version = await createDatabase(server.url, name)
    const url = withDatabase(server.url, name)
    const pool = new pg.Pool({ connectionString: url, max: 5, application_name: "millrace demo" })
    pool.on("error", () => {}) // the next query tells
    return {
      url,
      pool,
      version,
      own,
      async [Symbol.asyncDispose]() {
        await pool.end()
        if (!own) await dropDatabase(server.url, name)
        await server.stop()
      },
    }
  } catch (error) {
    await server.stop()
    throw new Problem(own ? messageOf(error) : unusable(error))
  }
}

/** What went wrong and what to do; what was tried comes below. */
function inOneLine(error: unknown): string {
  const [what = "", ...rest] = messageOf(error).trim().split("\n")
  const advice = rest.pop()
  return [advice ? `${what} ${advice}` : what, ...rest.map((line) => `  ${line}`)].join("\n")
}

const unusable = (error: unknown) =>
  `The server that DATABASE_URL names cannot be used (${messageOf(error)}); correct it, or unset it for a server of the demo's own.`

function withDatabase(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

async function createDatabase(server: string, name: string): Promise<string> {
  return withClient(server, async (client) => {
    await client.query(`create database ${name} encoding 'UTF8' template template0`)
    const { rows } = await client.query<{ version: string }>("select current_setting('server_version') as version")
    return rows[0]?.version ?? ""
  })
}

async function dropDatabase(server: string, name: string): Promise<void> {
  await withClient(server, (client) => client.query(`drop database if exists ${name} with (force)`))
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  client.on("error", () => {})
  try {
    await client.connect()
    return await use(client)
  } finally {
    await client.end().catch(() => {})
  }
}

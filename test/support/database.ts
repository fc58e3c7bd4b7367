// A database of its own for each test file, on the server that global-setup.ts started.
import { randomBytes } from "node:crypto"
import pg from "pg"
import { inject } from "vitest"
import "./global-setup.ts"

export interface TestDatabase {
  readonly url: string
  readonly pool: pg.Pool
  /** Ends the pool and drops the database, whoever is still connected. */
  close(): Promise<void>
}

export async function testDatabase(): Promise<TestDatabase> {
  const serverUrl = inject("postgresUrl")
  const name = `test_${randomBytes(8).toString("hex")}`
  await onServer(serverUrl, `create database ${name} template template0`)
  const url = withDatabase(serverUrl, name)
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  pool.on("error", () => {}) // a lost idle connection is a test's doing, and must not end the process
  return {
    url,
    pool,
    async close() {
      await pool.end()
      await onServer(serverUrl, `drop database if exists ${name} with (force)`)
    },
  }
}

function withDatabase(serverUrl: string, name: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  client.on("error", () => {})
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

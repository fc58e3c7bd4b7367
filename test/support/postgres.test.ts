import pg from "pg"
import { expect, test } from "vitest"
import { startPostgres } from "../../tools/postgres.mjs"

const given = process.env.DATABASE_URL !== undefined

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  client.on("error", () => {})
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

test.skipIf(given)("a killed server starts again on the same port with what was committed", async () => {
  const server = await startPostgres()
  try {
    await query(server.url, "create table kept as select 1 as n")
    const before = server.pid()
    await server.kill()
    await expect(query(server.url, "select 1")).rejects.toMatchObject({ code: "ECONNREFUSED" })
    await server.restart()
    expect(server.pid()).not.toBe(before)
    expect(await query(server.url, "select n from kept")).toEqual([{ n: 1 }])
  } finally {
    await server.stop()
  }
})

test.skipIf(given)("durability is off unless asked for, and settings reach the server", async () => {
  const fast = await startPostgres({ settings: { work_mem: "7MB" } })
  const durable = await startPostgres({ fsync: true })
  try {
    const text = "select current_setting('fsync') as fsync, current_setting('work_mem') as memory"
    expect(await query(fast.url, text)).toEqual([{ fsync: "off", memory: "7MB" }])
    expect(await query(durable.url, text)).toEqual([{ fsync: "on", memory: "4MB" }])
  } finally {
    await Promise.all([fast.stop(), durable.stop()])
  }
})

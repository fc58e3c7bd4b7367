// Does to the system what the plan says, and tells when it really happened.
import pg from "pg"
import type { Postgres } from "../tools/postgres.mjs"
import type { Statement, TcpProxy } from "../test/support/tcp-proxy.ts"
import { pause, type Slot } from "./crew.ts"
import type { Struck } from "./evidence.ts"
import type { Fault, Lost } from "./plan.ts"
import { machineTime } from "./timing.ts"

export interface Place {
  readonly slot: Slot
  readonly proxy: TcpProxy
}

export interface Stage {
  readonly places: ReadonlyMap<string, Place>
  readonly server: Postgres
  /** The database under test, directly. */
  readonly url: string
  readonly schema: string
}

/** How long a process may take to stop: its jobs' time, the grace, and saving while the database is away. */
export const stopLimit = 30_000

export async function strike(stage: Stage, fault: Fault): Promise<Struck> {
  const from = machineTime()
  if (fault.target === "server") await atServer(stage, fault)
  else await atPlace(stage.places.get(fault.target)!, fault)
  return { ...fault, from, until: machineTime() }
}

async function atPlace({ slot, proxy }: Place, fault: Fault): Promise<void> {
  switch (fault.kind) {
    case "kill":
      return slot.kill(fault.for)
    case "freeze":
    case "doze":
      return slot.freeze(fault.for)
    case "stop":
      return slot.replace(stopLimit)
    case "cut":
      return proxy.cut()
    case "refuse":
      proxy.refuse()
      proxy.cut()
      return healAfter(proxy, fault)
    case "silence":
      proxy.blackhole()
      return healAfter(proxy, fault)
    case "deafen":
      proxy.blackhole({ questions: true, answers: false })
      return healAfter(proxy, fault)
    case "mute":
      proxy.blackhole({ questions: false, answers: true })
      return healAfter(proxy, fault)
    case "slow":
      proxy.delay(40)
      await pause(fault.for)
      return proxy.delay(0)
    case "lose":
      return lose(proxy, fault)
    case "listener":
      return silenceListener(proxy, fault)
    default:
      throw new Error(`${fault.kind} concerns no process`)
  }
}

/** What was withheld arrives late; or never, with its connections. */
async function healAfter(proxy: TcpProxy, { for: ms, cuts }: Fault): Promise<void> {
  await pause(ms)
  if (cuts) proxy.cut()
  proxy.heal()
}

const statements: Readonly<Record<Lost, RegExp>> = {
  cycle: /cycle_/,
  push: /push_/,
  commit: /^commit$/i,
  renew: /workers.* set seen_at/,
}

/** The server has done what it was asked, and the client does not hear of it, or late. */
async function lose(proxy: TcpProxy, { for: ms, reply }: Fault): Promise<void> {
  const wanted = statements[reply!.of]
  const met = proxy.holdReply({ statement: ({ text }: Statement) => wanted.test(text) })
  const held = await Promise.race([met.catch(() => undefined), pause(1_500).then(() => undefined)])
  if (!held) return proxy.disarm()
  if (reply!.how === "cut") return held.cut()
  if (reply!.how === "drop") return held.drop()
  await pause(ms)
  held.release()
}

async function silenceListener(proxy: TcpProxy, { for: ms, cuts }: Fault): Promise<void> {
  const link = proxy.listener
  link?.silence()
  await pause(ms)
  if (!link?.open) return
  if (cuts) link.cut()
  else link.heal()
}

async function atServer({ server, url, schema }: Stage, fault: Fault): Promise<void> {
  switch (fault.kind) {
    case "crash":
      await server.kill()
      await pause(fault.for)
      return server.restart()
    case "restart":
      await server.halt()
      await pause(fault.for)
      return server.restart()
    case "terminate":
      return withClient(url, async (client) => {
        await client.query(
          `select pg_terminate_backend(pid) from (select pid from pg_stat_activity
           where application_name like 'millrace%' and pid <> pg_backend_pid() order by random() limit 3) some`,
        )
      })
    case "lock":
      return withClient(url, (client) => lock(client, schema, fault.for))
    default:
      throw new Error(`${fault.kind} does not concern the server`)
  }
}

/** Holds some rows, as a reader of results or somebody's transaction would. */
async function lock(client: pg.Client, schema: string, ms: number): Promise<void> {
  await client.query("begin")
  await client.query(
    `select id from ${schema}.jobs where id in (select id from ${schema}.jobs where name not in ('line') order by random() limit 20)
     for update skip locked`,
  )
  await pause(ms)
  await client.query("rollback")
}

/** The server may be away: then there is nothing to do. */
async function withClient(url: string, use: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: "harness" })
  client.on("error", () => {})
  try {
    await client.connect()
    await use(client)
  } catch {
    // Another fault has reached it.
  } finally {
    await client.end().catch(() => {})
  }
}

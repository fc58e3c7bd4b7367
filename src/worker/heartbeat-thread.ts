import { parentPort, workerData } from "node:worker_threads"
import { setTimeout as sleep } from "node:timers/promises"
import { writeSync } from "node:fs"
import { url as inspectorUrl } from "node:inspector"
import pg from "pg"

/*
 * The entry of the heartbeat thread: renews one lease over one connection, and watches the worker's event loop.
 *
 * The loop is judged by ticks of this thread during which it did not move, not by elapsed time: when the whole process
 * was frozen and goes on, no tick of ours has passed either.
 */

export interface HeartbeatData {
  readonly dsn: string
  readonly renew: string
  readonly expire: string
  readonly incarnation: string
  /** When the request that made the present lease was sent: `process.hrtime.bigint()`, one clock for all threads. */
  readonly since: bigint
  readonly every: number
  readonly lease: number
  readonly hang: number
  /** Counts up while the event loop turns. */
  readonly beats: Int32Array
}

export type HeartbeatMessage =
  { readonly kind: "lost" } | { readonly kind: "renewed" } | { readonly kind: "trouble"; readonly error: string }

const data = workerData as HeartbeatData
const say = (message: HeartbeatMessage) => parentPort!.postMessage(message)
const now = () => performance.now()

let client: pg.Client | undefined
let trustedUntil = 0
let end: NodeJS.Timeout | undefined
trust(now() - Number(process.hrtime.bigint() - data.since) / 1e6)

/** Trust in the lease ends on time, also while a renewal hangs. */
function trust(since: number): void {
  trustedUntil = since + data.lease
  clearTimeout(end)
  end = setTimeout(() => say({ kind: "lost" }), trustedUntil - now())
}

async function connected(): Promise<pg.Client> {
  if (client) return client
  const fresh = new pg.Client({
    connectionString: data.dsn,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    application_name: "millrace heartbeat",
  })
  const drop = () => {
    if (client === fresh) client = undefined
  }
  fresh.on("error", drop)
  fresh.on("end", drop)
  await fresh.connect()
  return (client = fresh)
}

/** One renewal under a deadline; a connection that does not answer is thrown away. */
async function renew(): Promise<boolean> {
  const sent = now()
  const open = await connected()
  const late = sleep(Math.max(1_000, data.lease / 4), undefined, { ref: false }).then(() => {
    throw new Error("the database did not answer in time")
  })
  late.catch(() => {})
  try {
    const result = await Promise.race([open.query(data.renew, [data.incarnation, data.lease]), late])
    if (result.rowCount === 0) return false
    trust(sent)
    say({ kind: "renewed" })
    return true
  } catch (error) {
    client = undefined
    ;(open as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
    throw error
  }
}

/** Renews until the lease is lost, or cannot be trusted any more. */
async function keep(): Promise<void> {
  let troubled = false
  for (;;) {
    let wait = data.every
    try {
      if (!(await renew())) break
      troubled = false
    } catch (error) {
      if (!troubled) say({ kind: "trouble", error: String(error) })
      troubled = true
      wait = Math.min(data.every, 500)
    }
    await sleep(Math.max(0, Math.min(wait, trustedUntil - now())))
    if (now() >= trustedUntil) break
  }
  say({ kind: "lost" })
}

/** Ends the process when its event loop has not moved for too long: its jobs would be kept alive for ever. */
async function watch(): Promise<void> {
  const tick = 500
  let last = Atomics.load(data.beats, 0)
  let still = 0
  for (;;) {
    await sleep(tick)
    const beats = Atomics.load(data.beats, 0)
    // Somebody who looks at it in a debugger stops it on purpose.
    still = beats !== last || inspectorUrl() !== undefined ? 0 : still + tick
    last = beats
    if (still < data.hang) continue
    // Not console.error: in a thread that goes through the event loop which is blocked.
    writeSync(
      2,
      `millrace: the event loop has been blocked for ${still} ms; ending this process so that its jobs can run elsewhere\n`,
    )
    const told = connected().then((open) => open.query(data.expire, [data.incarnation]))
    await Promise.race([told, sleep(1_000)]).catch(() => {}) // it may be the database that hangs
    process.kill(process.pid, "SIGKILL")
  }
}

void keep()
if (data.hang > 0) void watch()

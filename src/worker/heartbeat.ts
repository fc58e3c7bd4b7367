import { Worker as Thread } from "node:worker_threads"
import { monotonic } from "../lib/clock.ts"
import type { Database } from "../model/database.ts"
import type { Logger } from "../model/log.ts"
import { expireSql, renewSql, renewWorker } from "../postgres/workers.ts"
import type { Names } from "../postgres/sql.ts"
import type { HeartbeatData, HeartbeatMessage } from "./heartbeat-thread.ts"

/*
 * Keeps a worker's lease alive. A lease that expired is never renewed: the worker hears `lost`, aborts what it holds and
 * registers anew.
 *
 * Local trust in the lease is counted from *before* the renewal was sent, on the monotonic clock, so it ends before the
 * database's does. When the database cannot be reached, trust ends all the same.
 */

export interface HeartbeatOptions {
  readonly db: Database
  readonly names: Names
  readonly log: Logger
  readonly incarnation: string
  /** When the request that made the present lease was sent. */
  readonly since: number
  /** Milliseconds. */
  readonly every: number
  readonly lease: number
  /** An event loop blocked for longer ends the process, ms; 0: never. */
  readonly hang: number
  lost(): void
}

export interface Heartbeat {
  /** When the lease was last known to be renewed, on the monotonic clock. */
  readonly renewed: number
  stop(): Promise<void>
}

/** Renews from a thread of its own where the database can be reached by a connection string, else from the event loop. */
export const startHeartbeat = (options: HeartbeatOptions): Heartbeat =>
  options.db.dsn === undefined ? fromLoop(options) : fromThread(options, options.db.dsn)

/** A thread with a connection of its own: a busy event loop or a busy pool does not cost the lease. */
function fromThread(options: HeartbeatOptions, dsn: string): Heartbeat {
  const beats = new Int32Array(new SharedArrayBuffer(4))
  const pulse = setInterval(() => Atomics.add(beats, 0, 1), 250)
  const thread = new Thread(new URL("./heartbeat-thread.js", import.meta.url), {
    name: "millrace heartbeat",
    workerData: {
      dsn,
      renew: renewSql(options.names),
      expire: expireSql(options.names),
      incarnation: options.incarnation,
      since: process.hrtime.bigint() - BigInt(Math.ceil((monotonic() - options.since) * 1e6)),
      every: options.every,
      lease: options.lease,
      hang: options.hang,
      beats,
    } satisfies HeartbeatData,
  })
  thread.unref()
  let stopped = false
  let renewed = options.since
  const lost = () => {
    if (stopped) return
    stopped = true
    clearInterval(pulse)
    options.lost()
  }
  thread.on("message", (message: HeartbeatMessage) => {
    if (message.kind === "lost") lost()
    else if (message.kind === "renewed") renewed = monotonic()
    else options.log.warn("heartbeat: the database could not be reached; trying again", { error: message.error })
  })
  thread.on("error", (error) => {
    options.log.error("the heartbeat thread failed", { error: String(error) })
    lost()
  })
  return {
    get renewed() {
      return renewed
    },
    async stop() {
      stopped = true
      clearInterval(pulse)
      await thread.terminate()
    },
  }
}

/** For clients that only have the caller's pool. A handler that blocks the event loop for a lease loses the lease. */
function fromLoop(options: HeartbeatOptions): Heartbeat {
  let trustedUntil = options.since + options.lease
  let stopped = false
  let busyUntil = 0
  const lost = () => {
    if (stopped) return
    stopped = true
    clearInterval(timer)
    options.lost()
  }
  const trust = (since: number) => {
    trustedUntil = since + options.lease
    clearTimeout(end)
    if (!stopped) end = setTimeout(lost, trustedUntil - monotonic())
  }
  const beat = async () => {
    const sent = monotonic()
    if (sent > trustedUntil) return lost()
    // One that hangs does not keep the next from being sent.
    if (sent < busyUntil) return
    busyUntil = sent + options.lease / 4
    try {
      if (await renewWorker(options.db, options.names, options.incarnation, options.lease)) trust(sent)
      else lost()
    } catch (error) {
      options.log.warn("heartbeat: the database could not be reached; trying again", { error: String(error) })
    } finally {
      busyUntil = 0
    }
  }
  const timer = setInterval(() => void beat(), Math.min(options.every, options.lease / 3))
  // Trust ends on time, also while a renewal hangs.
  let end = setTimeout(lost, trustedUntil - monotonic())
  return {
    get renewed() {
      return trustedUntil - options.lease
    },
    async stop() {
      stopped = true
      clearInterval(timer)
      clearTimeout(end)
    },
  }
}

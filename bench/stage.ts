// A stage: one side alone in a fresh database, with fresh processes, and everything gone afterwards.
import { setTimeout as sleep } from "node:timers/promises"
import type { Client } from "pg"
import { forkChild, type Child } from "./crew.ts"
import { now, startMeter, type Meter } from "./measure.ts"
import { connect, withDatabase, type Server } from "./server.ts"
import type { Checks, SideName } from "./side.ts"

export interface Stage {
  url: string
  db: Client
  sql: Checks
  versions: Record<string, string>
  fork(): Child
  startMeter(): Meter
}

export async function onStage<T>(server: Server, side: SideName, act: (stage: Stage) => Promise<T>): Promise<T> {
  return withDatabase(server, async (url) => {
    const children: Child[] = []
    const fork = () => {
      const child = forkChild(side, url)
      children.push(child)
      return child
    }
    const db = await connect(url)
    try {
      const installer = fork()
      const { versions, sql } = await installer.call("describe")
      await installer.call("migrate")
      await installer.end()
      // Each side then writes to pages as fresh as the other's, and no checkpoint falls into a short measurement.
      await db.query("checkpoint")
      return await act({ url, db, sql, versions, fork, startMeter: () => startMeter(server.postmaster) })
    } finally {
      await Promise.all(children.map((child) => child.end()))
      await db.end()
    }
  })
}

/**
 * Pushes `count` jobs from a process of its own, which is gone when this resolves, and lets the planner know of them:
 * without statistics both peers claim with plans several times as expensive (graphile-worker 3.5 times, pg-boss twice).
 */
export async function seedStage(stage: Stage, count: number, { unanalysed = false } = {}): Promise<void> {
  const producer = stage.fork()
  await producer.call("seed", count)
  await producer.end()
  await expectCount(stage, stage.sql.waiting, count)
  if (!unanalysed) await stage.db.query("vacuum analyze")
}

/** Resolves to the time at which the database held no unfinished job any more. */
export async function drained(stage: Stage, workers: readonly Child[], jobs: number): Promise<number> {
  // Counting in the workers costs nothing; the database is asked only once it can be true.
  await until("all handlers to finish", () => total(workers) >= jobs, 5)
  await until("an end of unfinished jobs in the database", () => total(workers) >= jobs && isDrained(stage), 2)
  const at = now()
  if (stage.sql.succeeded !== null) await expectCount(stage, stage.sql.succeeded, jobs)
  return at
}

export function total(workers: readonly Child[]): number {
  return workers.reduce((sum, worker) => sum + worker.finished(), 0)
}

async function isDrained(stage: Stage): Promise<boolean> {
  const { rows } = await stage.db.query<{ found: boolean }>(stage.sql.unfinished)
  return rows[0]?.found === false
}

export async function expectCount(stage: Stage, sql: string, expected: number): Promise<void> {
  const { rows } = await stage.db.query<{ count: number }>(sql)
  const count = Number(rows[0]?.count)
  if (count !== expected) throw new Error(`expected ${expected} jobs and found ${count}: ${sql}`)
}

const WAIT_LIMIT = 300_000

export async function until(what: string, test: () => boolean | Promise<boolean>, every: number): Promise<void> {
  const deadline = now() + WAIT_LIMIT
  while (!(await test())) {
    if (now() > deadline) throw new Error(`waited ${WAIT_LIMIT / 1000} s in vain for ${what}`)
    await sleep(every)
  }
}

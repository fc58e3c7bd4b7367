import { spawn } from "node:child_process"
import { afterAll, beforeAll, expect, test } from "vitest"
import { defineJob } from "millrace"
import { deferred } from "../../src/lib/deferred.ts"
import { cancelJobs } from "../../src/postgres/jobs.ts"
import type { Connection } from "../../src/model/database.ts"
import { recover } from "./support/recovery.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import type { Session } from "./support/session.ts"
import { openStage, succeeded, type Stage } from "./support/stage.ts"
import { lost, saying, type Sent } from "./support/tap.ts"
import { until } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

/**
 * A worker with one job whose handler writes "run n" into a table of its own and completes in the same transaction. The
 * first run stops in the transaction until it is let on; what `job.transaction` threw is kept.
 */
async function inTransaction(s: Stage, prepare?: () => Promise<unknown>) {
  const { app, tap } = s.tappedApp()
  await s.sql("create table $s.side (run integer)")
  await prepare?.()
  const job = defineJob<null, string>({ name: "job" })
  const reached = deferred<void>()
  const gate = deferred<void>()
  const ends: unknown[] = []
  let runs = 0
  await s.worker(app, {
    grace: "20s",
    handlers: [
      job.handler(async (_, running) => {
        const run = ++runs
        try {
          const value = await running.transaction(async (tx) => {
            await tx.query(`insert into ${s.names.of("side")} values ($1)`, [run])
            reached.resolve()
            if (run === 1) await gate.promise
            return `run ${run}`
          })
          ends.push(value)
          return value
        } catch (error) {
          ends.push((error as { code?: string }).code ?? error)
          throw error
        }
      }),
    ],
  })
  s.onClose(async () => gate.resolve())
  const { id } = await app.push(job, null, { backoff: { initial: 1, max: 1 } })
  await reached.promise
  const side = async () => (await s.sql<{ run: number }>("select run from $s.side")).map(({ run }) => run)
  return { tap, id, gate, ends, side }
}

/** Declares the worker dead and takes its claims back, in one transaction: the worker itself sweeps, too. */
async function takeBack(s: Stage, on: Connection) {
  await on.query(`update ${s.names.of("workers")} set expires_at = now() - interval '1 second'`)
  return recover(on, s.names, 100, 3)
}

test("#41 job.transaction after a recovery: everything rolls back, and the handler is told that its lease is lost", async () => {
  await using s = await openStage(database)
  const { id, gate, ends, side } = await inTransaction(s)
  expect(await s.db.transaction((tx) => takeBack(s, tx))).toMatchObject([{ id, state: "pending" }])
  gate.resolve()
  await until("both runs have ended", () => ends.length === 2)
  expect(new Set(ends)).toEqual(new Set(["MILLRACE_LEASE_LOST", "run 2"]))
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "run 2", crashes: 1, attempts: 1 })
  expect(await side()).toEqual([2])
})

test("#41 job.transaction behind a recovery waits for it, and rolls back", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const { id, gate, ends, side } = await inTransaction(s)
  await a.begin()
  expect(await takeBack(s, a.db)).toHaveLength(1)
  gate.resolve()
  await s.somebodyWaits(a)
  await a.commit()
  await until("both runs have ended", () => ends.length === 2)
  expect(new Set(ends)).toEqual(new Set(["MILLRACE_LEASE_LOST", "run 2"]))
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "run 2" })
  expect(await side()).toEqual([2])
})

test("#41 a recovery during the commit of job.transaction leaves the job to it", async () => {
  await using s = await openStage(database)
  const { tap, id, gate, ends, side } = await inTransaction(s)
  const commit = tap.hold("before", ({ text }) => text === "commit")
  gate.resolve()
  await commit.reached
  expect(await s.db.transaction((tx) => takeBack(s, tx)), "its row is locked").toEqual([])
  commit.release()
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "run 1", crashes: 0, claims: 1 })
  await until("the run has ended", () => ends.length > 0)
  expect(ends).toEqual(["run 1"])
  expect(await side()).toEqual([1])
})

test("#42 job.transaction after a cancel rolls everything back, and the job ends cancelled", async () => {
  await using s = await openStage(database)
  const { id, gate, ends, side } = await inTransaction(s)
  expect(await cancelJobs(s.db, s.names, null, [id], "enough")).toMatchObject([{ outcome: "requested" }])
  gate.resolve()
  expect(await s.untilState(id, "cancelled", "succeeded")).toMatchObject({ state: "cancelled", result: null })
  expect(ends).toEqual(["MILLRACE_CANCELLED"])
  expect(await side()).toEqual([])
})

test("#42 job.transaction behind a cancel waits for it, and rolls back", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const { id, gate, ends, side } = await inTransaction(s)
  await a.begin()
  await cancelJobs(a.db, s.names, null, [id], "enough")
  gate.resolve()
  await s.somebodyWaits(a)
  await a.commit()
  expect(await s.untilState(id, "cancelled", "succeeded")).toMatchObject({ state: "cancelled" })
  expect(ends).toEqual(["MILLRACE_CANCELLED"])
  expect(await side()).toEqual([])
})

test("#42 a cancel during the commit of job.transaction waits, and comes too late", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const { tap, id, gate, ends, side } = await inTransaction(s)
  const commit = tap.hold("before", ({ text }) => text === "commit")
  gate.resolve()
  await commit.reached
  const cancel = a.start((db) => cancelJobs(db, s.names, null, [id], null))
  await cancel.waiting()
  commit.release()
  expect(await cancel.result).toMatchObject([{ outcome: "finished" }])
  expect(await s.row(id)).toMatchObject({ state: "succeeded", result: "run 1" })
  expect(ends).toEqual(["run 1"])
  expect(await side()).toEqual([1])
})

const commits = ({ text }: Sent) => text === "commit"
const asking = saying("token = $3 as mine")

test("#43 a COMMIT that was carried out, but not answered: the row is gone, and the work is done", async () => {
  await using s = await openStage(database)
  const { tap, id, gate, ends, side } = await inTransaction(s)
  const happened = tap.lose(commits)
  gate.resolve()
  await happened
  await until("the run has ended", () => ends.length > 0)
  expect(ends).toEqual(["run 1"])
  expect(await s.row(id)).toMatchObject({ state: "succeeded", result: "run 1", attempts: 1, claims: 1 })
  expect(await side()).toEqual([1])
})

test("#43 a COMMIT that never arrived: the row is ours, so the attempt failed, and the next one does the work", async () => {
  await using s = await openStage(database)
  const { tap, id, gate, ends, side } = await inTransaction(s)
  const happened = tap.lose(commits, false)
  gate.resolve()
  await happened
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "run 2", attempts: 2, crashes: 0 })
  expect(ends).toEqual(["MILLRACE_COMMIT_UNKNOWN", "run 2"])
  expect(await side()).toEqual([2])
})

/** Makes the first COMMIT hang on the server, on a lock that `holder` has. */
async function slowCommit(s: Stage, holder: Session) {
  await s.sql("create table $s.gate as select 1 as n")
  await s.sql(`create function $s.wait() returns trigger language plpgsql as $$
    begin perform from $s.gate for update; return null; end $$`)
  await s.sql(`create constraint trigger wait after insert on $s.side deferrable initially deferred
    for each row when (new.run = 1) execute function $s.wait()`)
  await holder.begin()
  await holder.db.query(`select from ${s.names.of("gate")} for update`)
}

test("#43 a COMMIT that is still under way is waited for", async () => {
  await using s = await openStage(database)
  const server = await s.session()
  const { tap, id, gate, ends, side } = await inTransaction(s, () => slowCommit(s, server))
  tap.next(commits, async ({ send }) => {
    send().catch(() => {})
    await s.somebodyWaits(server)
    throw lost()
  })
  gate.resolve()
  await until("the question waits for the commit", async () => {
    const rows = await s.sql(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
         and query like '%token = $3 as mine%'`,
    )
    return rows.length === 1
  })
  expect(ends).toEqual([])
  await server.rollback()
  await until("the run has ended", () => ends.length > 0)
  expect(ends).toEqual(["run 1"])
  expect(await s.row(id)).toMatchObject({ state: "succeeded", result: "run 1" })
  expect(await side()).toEqual([1])
})

test("#43 a COMMIT that dies on the server while it is waited for leaves the row ours", async () => {
  await using s = await openStage(database)
  const server = await s.session()
  const { tap, id, gate, ends, side } = await inTransaction(s, () => slowCommit(s, server))
  tap.next(commits, async ({ send }) => {
    send().catch(() => {})
    await s.somebodyWaits(server)
    throw lost()
  })
  gate.resolve()
  await until("the question is sent", () => tap.count(asking) === 1)
  await s.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and $1 = any(pg_blocking_pids(pid))`,
    [server.pid],
  )
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "run 2", attempts: 2 })
  expect(ends[0]).toBe("MILLRACE_COMMIT_UNKNOWN")
  expect(await side()).toEqual([2])
})

/** Loses the COMMIT before it arrives, and holds up the question about the row until `meanwhile` is over. */
async function meanwhile(s: Stage, tap: Awaited<ReturnType<typeof inTransaction>>["tap"], gate: { resolve(): void }) {
  const question = tap.hold("before", asking)
  tap.lose(commits, false).catch(() => {})
  gate.resolve()
  await question.reached
  await until("the server has given the transaction up", async () => {
    const [row] = await s.sql("select from $s.jobs for update skip locked")
    return row !== undefined
  })
  return question
}

test("#43 a COMMIT that never arrived, and the claim was taken back meanwhile: lease lost", async () => {
  await using s = await openStage(database)
  const { tap, id, gate, ends, side } = await inTransaction(s)
  const question = await meanwhile(s, tap, { resolve: () => gate.resolve() })
  expect(await s.db.transaction((tx) => takeBack(s, tx))).toMatchObject([{ id, state: "pending" }])
  question.release()
  await until("both runs have ended", () => ends.length === 2)
  expect(new Set(ends)).toEqual(new Set(["MILLRACE_LEASE_LOST", "run 2"]))
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "run 2", crashes: 1 })
  expect(await side()).toEqual([2])
})

test("#43 a COMMIT that never arrived, and somebody else finished the job meanwhile: not taken for ours", async () => {
  await using s = await openStage(database)
  const { tap, id, gate, ends, side } = await inTransaction(s)
  const question = await meanwhile(s, tap, { resolve: () => gate.resolve() })
  await s.db.transaction(async (tx) => {
    expect(await takeBack(s, tx)).toMatchObject([{ id, state: "pending" }])
    const member = await s.member()
    const [claim] = await s.claim(member, 1, tx)
    await s.settle(member, [succeeded(claim!, "somebody else's")], tx)
  })
  question.release()
  await until("the first run has ended", () => ends.length > 0)
  expect(await side(), "its writes were rolled back").toEqual([])
  expect(await s.row(id)).toMatchObject({ state: "succeeded", result: "somebody else's" })
  expect(ends[0]).toBe("MILLRACE_LEASE_LOST")
})

/** A program with a worker whose first transaction loses its connection while the handler is busy with something else. */
const program = (url: string, schema: string) => `
  import { setTimeout as sleep } from "node:timers/promises"
  import pg from "pg"
  import { Millrace, defineJob } from "millrace"
  import { Worker } from "millrace/worker"
  const app = new Millrace({ dsn: ${JSON.stringify(url)}, schema: ${JSON.stringify(schema)}, logger: false })
  const other = new pg.Client(${JSON.stringify(url)})
  await other.connect()
  const job = defineJob({ name: "job" })
  let runs = 0
  const handler = job.handler((_, running) => running.transaction(async (tx) => {
    const { rows } = await tx.query("select pg_backend_pid() as pid")
    if (++runs > 1) return "run " + runs
    await other.query("select pg_terminate_backend($1)", [rows[0].pid])
    for (let gone = 0; gone === 0; await sleep(5)) {
      gone = 1 - (await other.query("select from pg_stat_activity where pid = $1", [rows[0].pid])).rowCount
    }
    await sleep(50) // the client's turn to notice
    return "too late"
  }))
  const worker = new Worker(app, { handlers: [handler] })
  await worker.start()
  const reference = await app.push(job, null, { backoff: { initial: 1, max: 1 } })
  process.stdout.write(await reference.result({ timeout: "10s" }))
  await worker.stop()
  await app.close()
  await other.end()
`

test("#43 a connection that dies under an idle transaction fails the attempt, and ends no process", async () => {
  await using s = await openStage(database)
  const script = program(database.url, s.names.plain)
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "pipe"] })
  let [output, errors] = ["", ""]
  child.stdout.on("data", (data) => (output += String(data)))
  child.stderr.on("data", (data) => (errors += String(data)))
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve))
  expect({ code, output, errors }).toEqual({ code: 0, output: "run 2", errors: "" })
})

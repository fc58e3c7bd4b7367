// What can happen at once around a flow (the table of docs/design/flows.md), each order forced by hand.
import fs from "node:fs"
import { defineFlow, defineJob, flows, type Flow } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Connection } from "../../src/model/database.ts"
import { cancelJobs } from "../../src/postgres/jobs.ts"
import { recover } from "../interleavings/support/recovery.ts"
import { openStage, snoozed, succeeded, type Claim, type Stage } from "../interleavings/support/stage.ts"
import { saying, type Sent, type Tap } from "../interleavings/support/tap.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

type Member = Awaited<ReturnType<Stage["member"]>>

/** A stage with the plugin's tables, and one run that has asked for the signal "go" and for the end of a job. */
async function openRun() {
  const s = await openStage(database)
  await s.app({ plugins: [flows()] }).migrate()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await s.sql("select $s.flow_begin_1($1, 1, $2, 'job')", [id, claim!.token])
  const child = await s.pushOne({ name: "child", queue: "other" })
  await store(s, claim!, [
    { key: "go", seq: 1, kind: "signal", name: "go", status: "waiting" },
    { key: "child", seq: 2, kind: "push", name: "child", status: "done", ord: 1, child },
    { key: "child.result", seq: 3, kind: "result", name: "child", status: "waiting", child },
  ])
  return { s, member, id, claim: claim!, child, [Symbol.asyncDispose]: () => s[Symbol.asyncDispose]() }
}

async function store(s: Stage, { id, token }: Claim, steps: readonly object[], on: Connection = s.db) {
  const { rows } = await on.query<{ stored: string | null }>(
    `select ${s.names.of("flow_store_1")}($1, $2, $3::text::json, '{}', '{}', false) as stored`,
    [id, token, JSON.stringify(steps)],
  )
  return rows[0]!.stored
}

/** What a worker does in the transaction that parks a run. Returns whether it is ready at once. */
async function park(s: Stage, member: Member, claim: Claim, on: Connection): Promise<boolean> {
  await s.settle(member, [snoozed(claim)], on)
  const { rows } = await on.query(`select ${s.names.of("flow_settled_1")}($1, '{scheduled}')`, [[claim.id]])
  return rows.length > 0
}

async function signal(s: Stage, id: string, on: Connection = s.db): Promise<string> {
  const { rows } = await on.query<{ outcome: string }>(
    `select ${s.names.of("flow_signal_1")}($1, 'go', '1', null, null) as outcome`,
    [id],
  )
  return rows[0]!.outcome
}

const childEnded = (s: Stage, child: string, on: Connection = s.db) =>
  on.query(`select ${s.names.of("flow_child_ended_1")}($1)`, [[child]])

const wake = async (s: Stage, id: string) =>
  (await s.sql<{ state: string }>("select state from $s.flow_wake_1($1)", [[id]]))[0]?.state

const untaken = { kind: "signal", taken_by: null }

const inbox = (s: Stage) => s.sql("select kind, taken_by from $s.flow_inbox order by id")

test("#1 a signal behind the parking waits for the job's row, finds it parked, and wakes it", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  const [a, b] = await s.sessions()
  await a.begin()
  expect(await park(s, member, claim, a.db)).toBe(false)
  const sending = b.start((db) => signal(s, id, db))
  await sending.waiting(a)
  await a.commit()
  expect(await sending.result).toBe("sent")
  expect(await s.row(id)).toMatchObject({ state: "pending", attempts: 0 })
})

test("#2 the parking behind a signal waits for its commit, sees it, and is ready at once", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  const [a, b] = await s.sessions()
  await a.begin()
  expect(await signal(s, id, a.db)).toBe("sent")
  await b.begin()
  const parking = b.start((db) => park(s, member, claim, db))
  await parking.waiting(a)
  await a.commit()
  expect(await parking.result).toBe(true)
  await b.commit()
  expect(await s.state(id)).toBe("pending")
})

test("#2 the parking behind a signal that rolls back parks", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  const [a, b] = await s.sessions()
  await a.begin()
  await signal(s, id, a.db)
  await b.begin()
  const parking = b.start((db) => park(s, member, claim, db))
  await parking.waiting(a)
  await a.rollback()
  expect(await parking.result).toBe(false)
  await b.commit()
  expect([await s.state(id), await inbox(s)]).toEqual(["scheduled", []])
})

test("#3 a signal between the look and the parking is seen by the parking", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  expect(await signal(s, id)).toBe("sent") // the execution has looked before
  const session = await s.session()
  await session.begin()
  expect(await park(s, member, claim, session.db)).toBe(true)
  await session.commit()
  expect(await s.state(id)).toBe("pending")
})

test("#4 the end of a job that the parking cannot see yet wakes the run after its commit", async () => {
  await using run = await openRun()
  const { s, member, id, claim, child } = run
  const [a, b] = await s.sessions()
  await a.begin()
  await cancelJobs(a.db, s.names, null, [child], null)
  await childEnded(s, child, a.db)
  await b.begin()
  expect(await park(s, member, claim, b.db)).toBe(false) // neither waits for the other
  await b.commit()
  await a.commit()
  expect(await s.state(id)).toBe("scheduled")
  expect(await wake(s, id)).toBe("woken")
  expect(await s.state(id)).toBe("pending")
})

test("#5 the end of a job before the parking is seen by it; the wake-up finds nothing to do", async () => {
  await using run = await openRun()
  const { s, member, id, claim, child } = run
  await cancelJobs(s.db, s.names, null, [child], null)
  await childEnded(s, child)
  const session = await s.session()
  await session.begin()
  expect(await park(s, member, claim, session.db)).toBe(true)
  await session.commit()
  expect(await wake(s, id)).toBe("pending")
})

test("#6 a step of a worker that was given up waits for the recovery, and is not stored", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  const [a, b] = await s.sessions()
  await s.expire(member)
  await a.begin()
  await recover(a.db, s.names, 100, 3)
  const storing = b.start((db) => store(s, claim, [{ key: "late", seq: 4, kind: "step", status: "done", ord: 2 }], db))
  await storing.waiting(a)
  await a.commit()
  expect(await storing.result).toBe(null)
  expect(await s.sql("select 1 from $s.flow_steps where run = $1 and key = 'late'", [id])).toEqual([])
})

test("#7 recovery leaves a run alone while one of its steps is being stored", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  const [a] = await s.sessions()
  await s.expire(member)
  await a.begin()
  expect(await store(s, claim, [{ key: "a", seq: 4, kind: "step", status: "done", ord: 2 }], a.db)).not.toBe(null)
  expect(await recover(s.db, s.names, 100, 3)).toEqual([])
  await a.commit()
  expect(await recover(s.db, s.names, 100, 3)).toMatchObject([{ id, state: "pending" }])
})

test("#8 a worker that comes back after its claim was made again stores nothing, and begins nothing", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  await s.expire(member)
  await recover(s.db, s.names, 100, 3)
  const [again] = await s.claim(await s.member())
  expect(again!.id).toBe(id)
  expect(await store(s, claim, [{ key: "late", seq: 4, kind: "step", status: "done", ord: 2 }])).toBe(null)
  const [begun] = await s.sql("select $s.flow_begin_1($1, 1, $2, 'job') as begun", [id, claim.token])
  expect(begun).toEqual({ begun: null })
  const steps = [{ key: "a", seq: 4, kind: "step", status: "done", ord: 2, value: "1" }]
  expect(await store(s, again!, steps)).not.toBe(null)
  await store(s, again!, [{ ...steps[0], ord: 3, value: "2" }])
  expect(await s.sql("select ord, value from $s.flow_steps where key = 'a'")).toEqual([{ ord: 2, value: 1 }])
})

test("#9 a run that somebody cancels while it is being parked ends cancelled", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  const [a, b] = await s.sessions()
  await a.begin()
  await cancelJobs(a.db, s.names, null, [id], "enough")
  await b.begin()
  const parking = b.start((db) => s.settle(member, [snoozed(claim)], db))
  await parking.waiting(a)
  await a.commit()
  expect((await parking.result).cancelled).toEqual([id])
  await b.db.query(`select ${s.names.of("flow_settled_1")}($1, '{cancelled}')`, [[id]])
  await b.commit()
  expect(await s.state(id)).toBe("cancelled")
  expect(await s.sql("select state, finished_at is not null as ended from $s.flow_runs")).toEqual([
    { state: "cancelled", ended: true },
  ])
})

test("#10 a signal behind the end of a run waits for it, is refused, and leaves nothing", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  const [a, b] = await s.sessions()
  await a.begin()
  await s.settle(member, [succeeded(claim)], a.db)
  const sending = b.start((db) => signal(s, id, db))
  await sending.waiting(a)
  await a.commit()
  expect(await sending.result).toBe("finished")
  expect(await inbox(s)).toEqual([])
})

test("#11 a signal to a run whose time has come finds it ready, and waits in the inbox for it", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  const session = await s.session()
  await session.begin()
  await park(s, member, claim, session.db)
  await session.commit()
  await s.sql("update $s.jobs set run_at = now() where id = $1", [id])
  await s.sql("select * from $s.promote_1('default', 10)")
  expect(await signal(s, id)).toBe("sent")
  expect([await s.state(id), await inbox(s)]).toEqual(["pending", [{ kind: "signal", taken_by: null }]])
})

test("#12 two signals at once are both kept, one after the other", async () => {
  await using run = await openRun()
  const { s, member, id, claim } = run
  const [a, b] = await s.sessions()
  await a.begin()
  await park(s, member, claim, a.db)
  await a.commit()
  await a.begin()
  await signal(s, id, a.db)
  const second = b.start((db) => signal(s, id, db))
  await second.waiting(a)
  await a.commit()
  expect(await second.result).toBe("sent")
  expect([await s.state(id), await inbox(s)]).toEqual(["pending", [untaken, untaken]])
})

const commits = ({ text }: Sent) => text === "commit"

/** A flow on a worker whose statements can be lost; its result. */
async function runTapped(code: (flow: Flow, tap: Tap, schema: string) => Promise<unknown>) {
  const s = await openStage(database)
  const { app, tap } = s.tappedApp({ plugins: [flows({ sweep: "200ms" })] })
  await app.migrate()
  await s.sql("create table $s.ledger (n integer)")
  const flow = defineFlow({ name: "flow" }, (given: Flow) => code(given, tap, s.names.schema))
  await s.worker(app, { handlers: [flow, twice.handler((n) => n * 2)], queuePoll: "200ms" })
  const job = await app.push(flow)
  return { s, result: await job.result({ timeout: "20s" }), [Symbol.asyncDispose]: () => s[Symbol.asyncDispose]() }
}

const twice = defineJob<number, number>({ name: "twice" })

test.each([true, false])(
  "#13 a transaction step whose COMMIT nobody heard of is looked up; committed: %s",
  async (carriedOut) => {
    let runs = 0
    await using run = await runTapped(async (flow, tap, schema) => {
      const n = await flow.transaction("write", async (tx) => {
        runs += 1
        if (runs === 1) void tap.lose(commits, carriedOut)
        await tx.query(`insert into ${schema}.ledger values (${runs})`)
        return runs
      })
      return flow.step("then", () => n)
    })
    expect(run.result).toBe(carriedOut ? 1 : 2)
    expect(await run.s.sql("select n from $s.ledger")).toEqual([{ n: carriedOut ? 1 : 2 }])
  },
)

test.each([true, false])(
  "#14 a push whose COMMIT nobody heard of is looked up, and made once; committed: %s",
  async (carriedOut) => {
    await using run = await runTapped(async (flow, tap) => {
      void tap.lose(commits, carriedOut)
      return flow.run(twice, 21)
    })
    expect(run.result).toBe(42)
    expect(await run.s.sql("select count(*)::int as n from $s.all_jobs where name = 'twice'")).toEqual([{ n: 1 }])
  },
)

test.each([true, false])(
  "#15 a store whose reply is lost is sent again, and counts once; stored: %s",
  async (carriedOut) => {
    let runs = 0
    await using run = await runTapped(async (flow, tap) => {
      void tap.lose(saying("flow_store_1"), carriedOut)
      await flow.step("a", () => (runs += 1))
      void tap.lose(saying("flow_store_1"), carriedOut)
      await flow.sleep("20ms")
      return flow.step("b", () => runs)
    })
    expect(run.result).toBe(1)
  },
)

test("every row of the table has a test, and every test a row", () => {
  const read = (file: string) => fs.readFileSync(new URL(file, import.meta.url), "utf8")
  const rows = [...read("../../docs/design/flows.md").matchAll(/^\| +(\d+) +\|/gm)].map(([, n]) => Number(n))
  const tests = [...read("flow-interleavings.test.ts").matchAll(/"#(\d+) /g)].map(([, n]) => Number(n))
  expect(rows.length).toBeGreaterThan(0)
  expect([...new Set(tests)]).toEqual(rows)
})

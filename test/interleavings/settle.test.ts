import { afterAll, beforeAll, expect, test } from "vitest"
import { defineJob } from "millrace"
import { deferred } from "../../src/lib/deferred.ts"
import { uuidv7 } from "../../src/lib/uuid.ts"
import type { Connection } from "../../src/model/database.ts"
import { cancelJobs, markAwaited, saveProgress, type Settlement } from "../../src/postgres/jobs.ts"
import { recover } from "./support/recovery.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { failed, handedBack, openStage, retrying, snoozed, succeeded, type Claim, type Stage } from "./support/stage.ts"
import { claiming, settling } from "./support/tap.ts"
import { times, until } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const endings: [string, (claim: Claim) => Settlement][] = [
  ["success", (claim) => succeeded(claim, "late")],
  ["failure", failed],
  ["retry", retrying],
  ["snooze", snoozed],
  ["hand back", handedBack],
]

test.each(endings)(
  "#1 a settle (%s) behind a recovery waits for the row, matches nothing, is told stale",
  async (_, end) => {
    await using s = await openStage(database)
    const [a, b] = await s.sessions()
    const member = await s.member()
    const id = await s.pushOne()
    const [claim] = await s.claim(member)
    await s.expire(member)
    await a.begin()
    expect(await recover(a.db, s.names, 100, 3)).toMatchObject([{ id, state: "pending" }])
    const settle = b.start((db) => s.settle(member, [end(claim!)], db))
    await settle.waiting(a)
    await a.commit()
    expect(await settle.result).toMatchObject({ stale: [id], cancelled: null, awaited: null })
    expect(await s.row(id)).toMatchObject({ state: "pending", crashes: 1, attempts: 0, token: null, errors: null })
  },
)

test("#1 a settle behind a recovery that failed the job leaves that failure", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await s.expire(member)
  await a.begin()
  expect(await recover(a.db, s.names, 100, 1)).toMatchObject([{ id, state: "failed" }])
  const settle = b.start((db) => s.settle(member, [succeeded(claim!, "late")], db))
  await settle.waiting(a)
  await a.commit()
  expect((await settle.result).stale).toEqual([id])
  expect(await s.row(id)).toMatchObject({ state: "failed", result: null, errors: [{ code: "MILLRACE_CRASHED" }] })
})

test("#1 a worker whose settle comes too late drops the outcome; the job runs again and keeps the second one", async () => {
  await using s = await openStage(database)
  const { app, tap } = s.tappedApp()
  const job = defineJob<null, string>({ name: "job" })
  const hold = tap.hold("before", settling)
  let runs = 0
  await s.worker(app, {
    handlers: [job.handler(() => `run ${++runs}`)],
    heartbeat: "50ms",
    lease: "10s",
    sweep: "50ms",
  })
  const { id } = await app.push(job, null)
  await hold.reached
  await s.sql("update $s.workers set expires_at = clock_timestamp()")
  await s.untilState(id, "pending", "succeeded")
  hold.release()
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "run 2", claims: 2, attempts: 1, crashes: 1 })
})

test("#2 a recovery behind a settle skips the locked row, and later finds it gone", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const ids = await s.push([{}, {}])
  const claims = await s.claim(member)
  await s.expire(member)
  await a.begin()
  expect((await s.settle(member, [succeeded(claims[0]!, "in time")], a.db)).stale).toBeNull()
  expect(await recover(s.db, s.names, 100, 3)).toMatchObject([{ id: ids[1], state: "pending" }])
  expect(await s.memberExists(member), "a claim of it may be left").toBe(true)
  await a.commit()
  expect(await recover(s.db, s.names, 100, 3)).toEqual([])
  expect(await s.row(ids[0]!)).toMatchObject({ state: "succeeded", result: "in time", crashes: 0 })
  expect(await s.memberExists(member)).toBe(false)
})

test("#2 a settle that rolls back leaves its row to the next recovery", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await s.expire(member)
  await a.begin()
  await s.settle(member, [retrying(claim!)], a.db)
  expect(await recover(s.db, s.names, 100, 3)).toEqual([])
  await a.rollback()
  expect(await recover(s.db, s.names, 100, 3)).toMatchObject([{ id, state: "pending" }])
  expect(await s.row(id)).toMatchObject({ state: "pending", crashes: 1, attempts: 0 })
})

test.each(endings)(
  "#16 the second of two settles of one claim (%s) waits, matches nothing, is told stale",
  async (_, end) => {
    await using s = await openStage(database)
    const [a, b] = await s.sessions()
    const member = await s.member()
    const id = await s.pushOne()
    const [claim] = await s.claim(member)
    await a.begin()
    expect((await s.settle(member, [end(claim!)], a.db)).stale).toBeNull()
    const again = b.start((db) => s.settle(member, [end(claim!)], db))
    await again.waiting(a)
    await a.commit()
    expect((await again.result).stale).toEqual([id])
    const { state, charge } = end(claim!)
    expect(await s.row(id)).toMatchObject({ state, attempts: charge })
  },
)

test("#16 a resend after the first settle rolled back settles", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await a.begin()
  await s.settle(member, [succeeded(claim!, 1)], a.db)
  const again = b.start((db) => s.settle(member, [succeeded(claim!, 1)], db))
  await again.waiting(a)
  await a.rollback()
  expect((await again.result).stale).toBeNull()
  expect(await s.row(id)).toMatchObject({ state: "succeeded", result: 1 })
})

test("#16 a worker whose settle was carried out, but not answered, sends it again and is done", async () => {
  await using s = await openStage(database)
  const { app, tap } = s.tappedApp()
  const job = defineJob<null, number>({ name: "job" })
  const lost = tap.lose(settling)
  let runs = 0
  const worker = await s.worker(app, { handlers: [job.handler(() => ++runs)] })
  const { id } = await app.push(job, null)
  await lost
  await until("the outcome is sent again", () => tap.count(settling) >= 2)
  expect(await worker.stop(), "everything was saved").toBe(true)
  expect(await s.row(id)).toMatchObject({ state: "succeeded", result: 1, attempts: 1, claims: 1 })
  expect(runs).toBe(1)
})

/** A job with two claims of one worker: the older is stale. */
async function claimedTwice(s: Stage) {
  const member = await s.member()
  const id = await s.pushOne()
  const [stale] = await s.claim(member)
  await s.settle(member, [handedBack(stale!)])
  const [fresh] = await s.claim(member)
  return { id, member, stale: stale!, fresh: fresh! }
}

const olds: [string, (claim: Claim) => Settlement][] = [
  ["success", succeeded],
  ["success with a result", (claim) => succeeded(claim, "old")],
  ["failure", (claim) => failed(claim, "old")],
  ["retry", (claim) => retrying(claim, "old")],
  ["hand back", handedBack],
]
const news: [string, (claim: Claim) => Settlement][] = [
  ["success", succeeded],
  ["success with a result", (claim) => succeeded(claim, "new")],
  ["failure", (claim) => failed(claim, "new")],
  ["retry", (claim) => retrying(claim, "new")],
  ["snooze", snoozed],
]

test.each(news)(
  "#17 a stale and a fresh (%s) claim of one job in one settle batch: only the fresh pair settles",
  async (_, end) => {
    await using s = await openStage(database)
    for (const [old, endOld] of olds) {
      for (const place of ["first", "last"]) {
        const { id, member, stale, fresh } = await claimedTwice(s)
        const batch = [endOld(stale), end(fresh)]
        await s.settle(member, place === "first" ? batch : batch.toReversed())
        const { state, charge, result, error } = end(fresh)
        const rows = await s.rows(id)
        const seen = rows.map((row) => ({ ...row, errors: (row.errors ?? []).map(({ message }) => message) }))
        const expected = {
          state,
          attempts: charge,
          claims: 2,
          token: rows[0]?.finished ? fresh.token : null,
          result: result === undefined ? null : "new",
          errors: error === undefined ? [] : ["new"],
        }
        expect.soft(seen, `stale: ${old}, ${place}`).toMatchObject([expected])
        // A scheduled or pending one must not be claimed by the next round.
        await s.sql("delete from $s.jobs")
      }
    }
  },
)

test("#17 three claims' outcomes of three jobs, one of them stale twice over: each job ends once", async () => {
  await using s = await openStage(database)
  const { id, member, stale, fresh } = await claimedTwice(s)
  const others = await s.push([{}, {}])
  const claims = await s.claim(member)
  await s.settle(member, [
    succeeded(stale),
    ...claims.map((claim) => succeeded(claim)),
    succeeded(fresh),
    succeeded(stale),
  ])
  expect(await s.states([id, ...others])).toEqual(["succeeded", "succeeded", "succeeded"])
})

test.each(endings)("#18 a stale claim (%s) of a worker that holds a newer one matches nothing", async (_, end) => {
  await using s = await openStage(database)
  const { id, member, stale, fresh } = await claimedTwice(s)
  expect((await s.settle(member, [end(stale)])).stale).toEqual([id])
  expect(await s.row(id)).toMatchObject({ state: "running", token: fresh.token, attempts: 0, errors: null })
})

test("#18 the older handler's signal fires when its worker claims the job again, and only the newer outcome counts", async () => {
  await using s = await openStage(database)
  const app = s.app()
  await app.declareQueue({ name: "default", pollInterval: "50ms" }, { upsert: true })
  const job = defineJob<null, string>({ name: "job" })
  const older = deferred<{ signal: AbortSignal }>()
  const oldGate = deferred<string>()
  const newGate = deferred<string>()
  let runs = 0
  await s.worker(app, {
    grace: "10s",
    handlers: [
      job.handler(async (_, { signal }) => {
        if (++runs > 1) return newGate.promise
        older.resolve({ signal })
        return oldGate.promise
      }),
    ],
  })
  const { id } = await app.push(job, null)
  const { signal } = await older.promise
  // Behind the worker's back the claim goes back to the queue, as after a recovery.
  const { token } = await s.row(id)
  const member = await s.member()
  expect((await s.settle(member, [handedBack({ id, token: token! })])).stale).toBeNull()
  await until("the job runs a second time", () => runs === 2)
  expect(signal.aborted).toBe(true)
  expect(signal.reason).toMatchObject({ code: "MILLRACE_LEASE_LOST" })
  oldGate.resolve("old")
  newGate.resolve("new")
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "new", attempts: 1, claims: 2 })
})

async function refusePoison(s: Stage, code: string): Promise<void> {
  await s.sql(`create function $s.refuse() returns trigger language plpgsql as $$
    begin
      if new.result = '"poison"' then raise exception 'poison' using errcode = '${code}'; end if;
      return new;
    end $$`)
  await s.sql("create trigger refuse before insert on $s.jobs_history for each row execute function $s.refuse()")
}

test("#36 an outcome that cannot be stored rolls the whole call back, the claims it would have made included", async () => {
  await using s = await openStage(database)
  await refusePoison(s, "22P05")
  const member = await s.member()
  const ids = await s.push([{}, {}, {}])
  const [fine, poisoned] = await s.claim(member, 2)
  const call = s.call(member, { settle: [succeeded(fine!, 1), succeeded(poisoned!, "poison")], limit: 5 })
  await expect(call).rejects.toMatchObject({ code: "22P05" })
  expect(await s.states(ids)).toEqual(["running", "running", "pending"])
})

test.each(["22P05", "23514"])(
  "#36 one outcome of a batch is refused (%s): that finish is stored without its result, its neighbours whole",
  async (code) => {
    await using s = await openStage(database)
    await refusePoison(s, code)
    const { app, tap } = s.tappedApp()
    const job = defineJob<number, number | string>({ name: "job" })
    const gate = deferred<void>()
    let started = 0
    await s.worker(app, {
      handlers: [
        job.handler(async (n) => {
          started += 1
          await gate.promise
          return n === 3 ? "poison" : n
        }),
      ],
    })
    const references = await app.pushMany(job, [0, 1, 2, 3, 4, 5, 6])
    await until("all run", () => started === 7)
    gate.resolve()
    const records = await app.wait(references, { timeout: "20s" })
    expect(records.map(({ state }) => state)).toEqual(Array(7).fill("succeeded"))
    expect(records.map(({ result }) => result)).toEqual([0, 1, 2, undefined, 4, 5, 6])
    expect(records[3]!.errors).toMatchObject([{ code: "MILLRACE_BAD_JSON" }])
    expect(records.map(({ attempts, claims }) => [attempts, claims])).toEqual(times(7, [1, 1]))
    for (const { id } of references) await s.row(id)
    expect(tap.count(settling), "halving takes a few calls, not hundreds").toBeLessThan(20)
    expect(tap.count(claiming)).toBeGreaterThan(0)
  },
)

test("#36 an outcome that is refused even without what it left is tried again with pauses, not in a hot loop", async () => {
  await using s = await openStage(database)
  await refusePoison(s, "22P05")
  await s.sql(`create or replace function $s.refuse() returns trigger language plpgsql as $$
    begin
      if new.payload = '"poison"' then raise exception 'never' using errcode = '22P05'; end if;
      return new;
    end $$`)
  const { app, tap } = s.tappedApp()
  const job = defineJob<string, string>({ name: "job" })
  await s.worker(app, { handlers: [job.handler((payload) => payload)] })
  const poison = await app.push(job, "poison")
  const fine = await app.push(job, "fine")
  expect(await fine.result({ timeout: "10s" })).toBe("fine")
  const [calls, since] = [tap.count(settling), performance.now()]
  await until("50 calls, or a second", () => tap.count(settling) >= calls + 50 || performance.now() > since + 1_000)
  expect(tap.count(settling) - calls).toBeLessThan(50)
  await s.sql("drop trigger refuse on $s.jobs_history")
  expect(await s.untilState(poison.id, "succeeded")).toMatchObject({ attempts: 1, claims: 1 })
})

/** Three jobs, claimed; their rows lie in the table in the reverse of their ids' order. */
async function reversedClaims(s: Stage) {
  const ids = [uuidv7(), uuidv7(), uuidv7()]
  for (const id of ids.toReversed()) await s.push({ id })
  const member = await s.member()
  const claims = await s.claim(member)
  const of = (id: string): Claim => claims.find((claim) => claim.id === id)!
  return { ids, member, reversed: ids.toReversed().map(of), of }
}

const statements: [string, (s: Stage, claims: Claim[]) => (db: Connection) => Promise<unknown>][] = [
  [
    "a settle",
    (s, claims) => async (db) =>
      s.settle(
        await s.member(),
        claims.map((claim) => succeeded(claim, 1)),
        db,
      ),
  ],
  [
    "a kept settle",
    (s, claims) => async (db) =>
      s.settle(
        await s.member(),
        claims.map((claim) => retrying(claim)),
        db,
      ),
  ],
  [
    "a bulk cancel",
    (s, claims) => (db) =>
      cancelJobs(
        db,
        s.names,
        null,
        claims.map(({ id }) => id),
        null,
      ),
  ],
  [
    "a flag of waiters",
    (s, claims) => (db) =>
      markAwaited(
        db,
        s.names,
        claims.map(({ id }) => id),
      ),
  ],
  [
    "a save of progress",
    (s, claims) => (db) =>
      saveProgress(
        db,
        s.names,
        "default",
        claims.map((claim) => ({ ...claim, value: "1" })),
      ),
  ],
]

test.each(statements)("#44 %s that names its jobs in reverse id order locks them in id order", async (_, statement) => {
  await using s = await openStage(database)
  const [gate, b, probe] = await s.sessions()
  const { ids, reversed } = await reversedClaims(s)
  await gate.begin()
  await gate.db.query(`select from ${s.names.of("jobs")} where id = $1 for update`, [ids[0]])
  const under = b.start(statement(s, reversed))
  await under.waiting(gate)
  // It waits for the lowest id, so it must not have locked any other yet.
  await probe.begin()
  const { rows } = await probe.db.query<{ id: string }>(
    `select id from ${s.names.of("jobs")} order by id for update skip locked`,
  )
  await probe.rollback()
  await gate.rollback()
  await under.result
  expect(rows.map(({ id }) => id)).toEqual(ids.slice(1))
})

test("#44 a settle in reverse id order against a bulk cancel: no deadlock", async () => {
  await using s = await openStage(database)
  const [gate, b, c] = await s.sessions()
  const { ids, member, reversed } = await reversedClaims(s)
  await gate.begin()
  await gate.db.query(`select from ${s.names.of("jobs")} where id = $1 for update`, [ids[0]])
  const settle = b.start((db) =>
    s.settle(
      member,
      reversed.map((claim) => succeeded(claim, 1)),
      db,
    ),
  )
  await settle.waiting(gate)
  const cancel = c.start((db) => cancelJobs(db, s.names, null, ids.toReversed(), null))
  await cancel.waiting()
  await gate.commit()
  expect((await settle.result).stale).toBeNull()
  expect((await cancel.result).map(({ outcome }) => outcome)).toEqual(["finished", "finished", "finished"])
  expect(await s.states(ids)).toEqual(["succeeded", "succeeded", "succeeded"])
})

test("#44 a settle that keeps a job of a higher id than one it ends, against a bulk cancel: no deadlock", async () => {
  await using s = await openStage(database)
  const [gate, b, c] = await s.sessions()
  const { ids, member, of } = await reversedClaims(s)
  const [low, middle, high] = ids as [string, string, string]
  await gate.begin()
  await gate.db.query(`select from ${s.names.of("jobs")} where id = $1 for update`, [low])
  const cancel = c.start((db) => cancelJobs(db, s.names, null, ids, null))
  await cancel.waiting(gate)
  const settle = b.start((db) => s.settle(member, [succeeded(of(low), 1), retrying(of(high))], db))
  await settle.waiting()
  await gate.commit()
  const [cancelled, summary] = await Promise.all([cancel.result, settle.result])
  expect(cancelled.map(({ outcome }) => outcome)).toEqual(["requested", "requested", "requested"])
  expect(summary.cancelled?.toSorted()).toEqual([low, high].toSorted())
  expect(await s.states(ids)).toEqual(["cancelled", "running", "cancelled"])
  expect(await s.row(middle)).toMatchObject({ cancel: { reason: null } })
})

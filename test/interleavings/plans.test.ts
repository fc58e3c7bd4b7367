// What the planner makes of the statements inside the functions: in a session that was warmed on empty tables, in one that
// meets full ones that nobody has analysed, and in one that meets analysed ones.
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { randomUUID } from "node:crypto"
import { insert } from "../../src/client/pusher.ts"
import type { NewJob } from "../../src/model/job.ts"
import {
  cancelJobs,
  claimsOf,
  findJobs,
  insertJobs,
  insertUniqueJobs,
  markAwaited,
  noFloors,
  promote,
  retryJob,
  saveProgress,
  unblockHandled,
  updateJob,
  type Floors,
  type Settlement,
} from "../../src/postgres/jobs.ts"
import { ensurePartitions } from "../../src/postgres/history.ts"
import { undeclaredQueues } from "../../src/postgres/queues.ts"
import { recover, recoverOrphans } from "../../src/postgres/workers.ts"
import type { Identity } from "../../src/worker/home.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { bigScans, buffers, explainAll, plansOf, readBy, type Plan } from "./support/plans.ts"
import type { Session } from "./support/session.ts"
import { failed, openStage, retrying, succeeded, type Claim, type Stage } from "./support/stage.ts"

const each = (n: number) => Array.from({ length: n }, (_, index) => index)

/** Jobs in the tables: ids tell the group, and are in order. */
const sizes = { pending: 30_000, running: 15_000, scheduled: 8_000, retrying: 4_000, blocked: 3_000 } as const
type Group = keyof typeof sizes | "history"
const groups: Group[] = ["pending", "running", "scheduled", "retrying", "blocked", "history"]
const idOf = (group: Group, n: number): string =>
  `0190000${groups.indexOf(group)}-0000-7000-8000-${n.toString(16).padStart(12, "0")}`
const token = "aaaaaaaa-0000-4000-8000-000000000000"

/** Fills the tables as they stand in the middle of a busy day; autovacuum is off, so nothing is analysed. */
async function fill(s: Stage, member: Identity): Promise<void> {
  for (const [group, size] of Object.entries(sizes) as [keyof typeof sizes, number][]) {
    await s.sql(
      `insert into $s.jobs (id, state, queue, name, rank, ready_at, run_at, unique_key, payload, token, worker, claims, blocked_by)
       select ('0190000' || $2 || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, $1::$s.job_state, 'default', 'job', n % 3,
         now() - interval '1 hour' + n * interval '1 millisecond',
         now() + case when n % 2 = 0 then interval '-1 hour' else interval '1 hour' end,
         case when n % 2 = 0 then 'g|' || $1 || n end, jsonb_build_object('n', n),
         case when $1 = 'running' then $3::uuid end, case when $1 = 'running' then $4::uuid end, 1,
         case when $1 = 'blocked' then 'handler' end
       from generate_series(0, $5 - 1) as n`,
      [group, String(groups.indexOf(group)), token, member.incarnation, size],
    )
  }
  await s.sql(
    `insert into $s.jobs_history (id, created_at, run_at, finished_at, keep_until, claims, state, rank, attempts, crashes, max_attempts,
       keep_s, keep_failed_s, queue, name)
     select ('01900005-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, now(), now(), now(),
       now() + (n % 7 + 1) * interval '23 hours', 1, 'failed', 0, 1, 0, 5, 86400, 86400, 'default', 'job'
     from generate_series(0, 49999) as n`,
  )
}

/** Every hot function once, on small input: what a worker and a client do all day. */
async function warm(s: Stage, session: Session, member: Identity): Promise<void> {
  const { db } = session
  const on = { on: db }
  await insertJobs(
    db,
    s.names,
    each(3).map(() => s.newJob()),
    false,
  )
  await insertJobs(db, s.names, [s.newJob()], true)
  await insertUniqueJobs(
    db,
    s.names,
    each(3).map(() => s.newJob({ uniqueKey: randomUUID() })),
    false,
  )
  await insertUniqueJobs(db, s.names, [s.newJob({ uniqueKey: randomUUID() })], true)
  const { claims } = await s.call(member, { ...on, limit: 100 })
  await cancelJobs(db, s.names, null, [claims[0]!.id], null)
  const [one, two, three, four, ...rest] = claims
  const settle = [retrying(one!), retrying(two!), failed(three!), succeeded(four!, 1)]
  await s.call(member, { ...on, settle, limit: 1, floors: { ranks: [0], ready: [0], ids: [randomUUID()] } })
  await s.call(member, { ...on, settle: rest.map((claim) => succeeded(claim)) })
  await promote(db, s.names, "default", 10)
  const dead = await s.member()
  await s.pushOne()
  await s.claim(dead)
  await s.expire(dead)
  await recover(db, s.names, 10, 3)
  await recoverOrphans(db, s.names, 10)
  await retryJob(db, s.names, null, one!.id)
  await s.sql("delete from $s.jobs")
  await s.sql("delete from $s.jobs_history")
}

interface Ground {
  readonly s: Stage
  readonly session: Session
  readonly member: Identity
}

/** A full stage and the session whose plans are looked at, warmed before the tables were filled or never. */
async function ground(database: TestDatabase, warmed: boolean, analysed: boolean): Promise<Ground> {
  const s = await openStage(database)
  await ensurePartitions(
    s.db,
    s.names,
    each(8).map((day) => day * 86_400),
  )
  const parts = await s.sql<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c where c.relkind = 'r' and c.relnamespace = $1::regnamespace
     and (c.relname = 'jobs' or c.relname like 'jobs\\_history\\_%')`,
    [s.names.plain],
  )
  for (const { name } of parts) await s.sql(`alter table ${name} set (autovacuum_enabled = false)`)
  const member = await s.member()
  const session = await s.session()
  if (warmed) for (let round = 0; round < 7; round++) await warm(s, session, member)
  await fill(s, member)
  if (analysed) await s.sql("analyze")
  await explainAll(session)
  return { s, session, member }
}

const show = (plans: readonly Plan[]) => plans.map(({ query, text }) => `${query.slice(0, 120)}\n${text}`).join("\n\n")

/** No plan scans a big table from end to end, and none reads many more rows than it is about. */
function expectSmall(plans: readonly Plan[], most: number, scans = /^(Index Scan|Index Only Scan|Tid Scan)$/): void {
  expect(plans.length).toBeGreaterThan(0)
  for (const plan of plans) {
    for (const node of bigScans(plan)) {
      expect(node["Node Type"], `in ${show([plan])}`).toMatch(scans)
      expect(readBy(node), `in ${show([plan])}`).toBeLessThanOrEqual(most)
    }
  }
}

/** The plans of statements that begin so. */
const about = (plans: readonly Plan[], pattern: RegExp) => plans.filter(({ query }) => pattern.test(query))

const scansOf = (plans: readonly Plan[], type: string, index?: string) =>
  plans.flatMap(bigScans).filter((node) => node["Node Type"] === type && node["Index Name"] === index)

const claimsIn = (from: number, count: number): Claim[] =>
  each(count).map((n) => ({ id: idOf("running", from + n), token }))

describe.each([
  { session: "warmed on empty tables", warmed: true, analysed: false },
  { session: "opened on full tables", warmed: false, analysed: false },
  { session: "opened on full tables that were analysed", warmed: false, analysed: true },
])("in a session that was $session", ({ warmed, analysed }) => {
  let database: TestDatabase
  let g: Ground
  beforeAll(async () => {
    database = await testDatabase()
    g = await ground(database, warmed, analysed)
  })
  afterAll(async () => {
    await g.s[Symbol.asyncDispose]()
    await database.close()
  })

  const call = (options: { settle?: Settlement[]; limit?: number; floors?: Floors; except?: string[] }) =>
    plansOf(g.session, () => g.s.call(g.member, { on: g.session.db, ...options }))

  test("a claim is an index scan of the ready index, then a scan by row addresses", async () => {
    const plans = await call({ limit: 100 })
    expectSmall(plans, 100)
    expect(scansOf(plans, "Index Scan", "jobs_ready").map(readBy), `in ${show(plans)}`).toEqual([100])
    expect(scansOf(plans, "Tid Scan").map(readBy), `in ${show(plans)}`).toEqual([0, 100])
    expect(scansOf(plans, "Index Scan", "jobs_suspect").map(readBy), `in ${show(plans)}`).toEqual([0])
    expect(plans.flatMap(bigScans), `in ${show(plans)}`).toHaveLength(4)
  })

  test("so is each step of a claim from floors, and the limit ends it", async () => {
    const [last] = await g.s.sql<{ rank: number; ready: number; id: string }>(
      `select rank, date_part('epoch', ready_at) as ready, id from $s.jobs where state = 'pending' and rank = 1
       order by ready_at offset 500 limit 1`,
    )
    const floors = { ranks: [1], ready: [last!.ready], ids: [last!.id] }
    await g.s.sql("update $s.jobs set rank = 5 where id = any($1::uuid[])", [
      (await g.s.sql<{ id: string }>("select id from $s.jobs where state = 'pending' and rank = 0")).map(
        ({ id }) => id,
      ),
    ])
    const plans = await call({ limit: 200, floors })
    expectSmall(plans, 200)
    expect(scansOf(plans, "Index Scan", "jobs_ready").map(readBy), `in ${show(plans)}`).toEqual([0, 200])
  })

  test("a claim that leaves a name to others reads no more than it skips", async () => {
    const plans = await call({ limit: 100, except: ["rare"] })
    expectSmall(plans, 100)
  })

  test("a settle of 500 is an index scan of the primary key that reads 500 rows", async () => {
    const plans = await call({ settle: claimsIn(0, 500).map((claim) => succeeded(claim)) })
    expectSmall(plans, 500)
    expect(scansOf(plans, "Index Scan", "jobs_pkey").map(readBy), `in ${show(plans)}`).toEqual([500])
    expect(plans.flatMap(bigScans), `in ${show(plans)}`).toHaveLength(1)
  })

  test("so is one with results and errors", async () => {
    const claims = claimsIn(500, 500)
    const plans = await call({ settle: claims.map((claim, n) => (n % 2 === 0 ? succeeded(claim, n) : failed(claim))) })
    expectSmall(plans, 500)
    expect(scansOf(plans, "Index Scan", "jobs_pkey").map(readBy), `in ${show(plans)}`).toEqual([500])
  })

  test("keeping 100 reads them once to lock them, once to look for cancels, and once to write them", async () => {
    const claims = claimsIn(1_000, 100)
    await cancelJobs(
      g.s.db,
      g.s.names,
      null,
      claims.slice(0, 10).map(({ id }) => id),
      null,
    )
    const plans = await call({ settle: claims.map((claim) => retrying(claim)) })
    expectSmall(plans, 100)
    const scans = scansOf(plans, "Index Scan", "jobs_pkey")
    expect(
      scans.map(readBy).reduce((sum, read) => sum + read, 0),
      `in ${show(plans)}`,
    ).toBeLessThanOrEqual(310)
  })

  test("a promotion of 200 reads 200 due rows, and the next one", async () => {
    const plans = await plansOf(g.session, () => promote(g.session.db, g.s.names, "default", 200))
    expectSmall(plans, 201)
    expect(scansOf(plans, "Index Scan", "jobs_due").map(readBy), `in ${show(plans)}`).toContain(200)
    expect(scansOf(plans, "Tid Scan").map(readBy), `in ${show(plans)}`).toEqual([200])
  })

  test("a promotion reads due rows only, wherever the later ones are", async () => {
    await g.s.sql(
      "update $s.jobs set run_at = now() + interval '1 hour' where state in ('scheduled', 'retrying') and id <> $1",
      [idOf("retrying", 0)],
    )
    const plans = await plansOf(g.session, () => promote(g.session.db, g.s.names, "default", 200))
    expectSmall(plans, 1)
  })

  const fresh = (count: number, key?: (n: number) => string | undefined): NewJob[] =>
    each(count).map((n) => g.s.newJob(key?.(n) === undefined ? {} : { uniqueKey: key(n)! }))

  test("a push reads nothing, and one that is sent again looks its ids up", async () => {
    const jobs = fresh(200)
    const first = await plansOf(g.session, () => insertJobs(g.session.db, g.s.names, jobs, false))
    expect(first.flatMap(bigScans), `in ${show(first)}`).toEqual([])
    const again = await plansOf(g.session, () => insertJobs(g.session.db, g.s.names, jobs, true))
    expectSmall(again, 200)
  })

  test("a push with unique keys looks the holders up by key, and nothing else", async () => {
    const jobs = fresh(200, (n) => (n % 2 === 0 ? `pending${2 * n}` : `new${n}`))
    const first = await plansOf(g.session, () => insertUniqueJobs(g.session.db, g.s.names, jobs, false))
    expectSmall(first, 200)
    expect(scansOf(first, "Index Scan", "jobs_unique_key").map(readBy), `in ${show(first)}`).toEqual([200])
    const again = await plansOf(g.session, () => insert(g.session.db, g.s.names, jobs, true))
    expectSmall(again, 200)
  })

  test.each([null, "default"])("a cancel of 200 (queue: %s) looks its ids up, each a few times", async (queue) => {
    const from = queue === null ? 1_000 : 2_000
    const ids = each(50).flatMap((n) => [
      idOf("pending", 20_000 + from + n),
      idOf("running", from + 2_000 + n),
      idOf("blocked", from / 2 + n),
      idOf("history", from + n),
    ])
    const plans = await plansOf(g.session, () => cancelJobs(g.session.db, g.s.names, queue, ids, null))
    expectSmall(plans, 200)
  })

  test("a retry from the history finds its row by id in every partition", async () => {
    const plans = await plansOf(g.session, () => retryJob(g.session.db, g.s.names, null, idOf("history", 7)))
    expectSmall(plans, 1)
  })

  test("a recovery of 1,000 claims of a dead worker reads no more than a few times these", async () => {
    const dead = await g.s.member()
    await g.s.sql("update $s.jobs set worker = $1 where id = any($2::uuid[])", [
      dead.incarnation,
      claimsIn(10_000, 1_000).map(({ id }) => id),
    ])
    await g.s.sql("update $s.jobs set crashes = 2 where id = any($1::uuid[])", [
      claimsIn(10_000, 100).map(({ id }) => id),
    ])
    await g.s.expire(dead)
    // All of the worker's claims, and nobody else's.
    const plans = await plansOf(g.session, () => recover(g.session.db, g.s.names, 1_000, 3))
    expectSmall(plans, 1_000)
    const [deleting, updating, ...more] = scansOf(plans, "Index Scan", "jobs_pkey").map(readBy)
    expect(Math.max(deleting!, updating!), `in ${show(plans)}`).toBeLessThanOrEqual(1_000)
    expect(more).toEqual([])
  })

  test("a look for orphans reads the index of running jobs, not the table", async () => {
    const plans = await plansOf(g.session, () => recoverOrphans(g.session.db, g.s.names, 100))
    expectSmall(plans, sizes.running)
    expect(about(plans, /recover_orphans|with dead/i).length).toBeGreaterThan(0)
  })

  test("what is not pinned in a function scans no full table either", async () => {
    const { db } = g.session
    const { names } = g.s
    const claims = claimsIn(5_000, 20)
    const ids = [...claims.map(({ id }) => id), ...each(20).map((n) => idOf("history", 3_000 + n))]
    const small = async (most: number, statement: () => Promise<unknown>) =>
      expectSmall(await plansOf(g.session, statement), most, /^(Index|Index Only|Tid|Bitmap Heap) Scan$/)
    await small(40, () => markAwaited(db, names, ids))
    const entries = claims.map((claim) => ({ ...claim, value: "1" }))
    await small(40, () => saveProgress(db, names, "default", entries))
    await small(1, () => updateJob(db, names, null, idOf("pending", 29_000), { rank: 3 }))
    await small(10, () => unblockHandled(db, names, ["nothing"]))
    await small(sizes.blocked, () => unblockHandled(db, names, ["job"]))
    await small(10, () => claimsOf(db, names, randomUUID()))
    await small(10, () => undeclaredQueues(db, names))
  })

  test("a reading of jobs by their ids scans no partition of the history", async () => {
    const ids = each(20).flatMap((n) => [idOf("running", 6_000 + n), idOf("history", 4_000 + n)])
    const plans = await plansOf(g.session, () => findJobs(g.session.db, g.s.names, ids))
    expectSmall(plans, 40, /^(Index|Index Only|Bitmap Heap) Scan$/)
  })

  test("a floor saves the walk over the entries of claimed jobs that an old snapshot keeps from being removed", async () => {
    const reader = await g.s.session()
    await reader.begin("repeatable read")
    await reader.db.query("select 1")
    await g.s.sql("delete from $s.jobs where state = 'pending' and queue = 'default'")
    const [last] = await g.s.sql<{ rank: number; ready: number; id: string }>(
      `with one as (insert into $s.jobs (id, state, queue, name) values ($1, 'pending', 'default', 'job') returning *)
       select rank, date_part('epoch', ready_at) - 0.000001 as ready, id from one`,
      [randomUUID()],
    )
    const whole = await call({ limit: 1, floors: noFloors })
    await g.s.push([{}])
    await g.s.sql("select pg_sleep(0.1)") // floors end a tenth of a second ago: what other tests left is to be older
    const floors = { ranks: [-5, 0, 5], ready: [4e9, last!.ready, 4e9], ids: [last!.id, last!.id, last!.id] }
    const floored = await call({ limit: 1, floors })
    await reader.commit()
    expect(buffers(floored), `in ${show(floored)}`).toBeLessThan(buffers(whole) / 3)
  })
})

import { defineJob, workflow, workflows, type Builder, type Millrace, type Workflows } from "millrace"
import type pg from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, until, type Fixture } from "../support/app.ts"

/*
 * What can happen at once to a workflow (docs/design/workflows.md, section 3), step by step: each order is forced by two
 * sessions that end jobs as workers do, without a worker.
 */

const job = defineJob<object, number>({ name: "job" })
const flows: Workflows = workflows()
let all: Fixture
let app: Millrace

const joined = workflow("joined", (w: Builder<object | undefined>) => {
  const left = w.step("left", job, {})
  const right = w.step("right", job, {})
  return w.step("join", job, { left, right })
})

const single = workflow("single", (w: Builder<undefined>) => w.step("only", job, {}))

beforeAll(async () => {
  all = await fixture()
  app = await all.app({ plugins: [flows] })
})
afterAll(() => all.close())

/** A session with an open transaction, rolled back at the end. */
async function session(): Promise<pg.PoolClient & AsyncDisposable> {
  const client = await all.pool.connect()
  await client.query("begin")
  return Object.assign(client, {
    async [Symbol.asyncDispose]() {
      await client.query("rollback").catch(() => {})
      client.release()
    },
  })
}

/** Claims jobs, as a worker does, and ends them as succeeded, in the session's transaction. */
async function end(client: pg.PoolClient, ids: readonly string[]): Promise<void> {
  await client.query(
    "update millrace.jobs set state = 'running', token = $1, claims = claims + 1 where id = any($2::uuid[]) and state = 'pending'",
    [token, ids],
  )
  await client.query(
    "select * from millrace.cycle_1($1, 'w', 'default', $2::uuid[], array[$1]::uuid[], array[$3]::integer[], '{}', '{}', null, $1, 0, false, null, '{}', '{}', '{}')",
    [token, ids, ids.length],
  )
}

const token = "018f0000-0000-4000-8000-00000000abcd"

const steps = async (id: string) => (await flows.get(id).get())!.steps
const states = async (id: string) => Object.fromEntries((await steps(id)).map(({ key, state }) => [key, state]))
const jobOf = async (id: string, key: string) => (await steps(id)).find((step) => step.key === key)!.jobId!

/** Whether somebody waits for a lock. */
async function waiting(): Promise<boolean> {
  const { rows } = await all.pool.query<{ n: number }>(
    "select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
  )
  return rows[0]!.n > 0
}

const jobsOf = async (id: string) => {
  const { rows } = await all.pool.query<{ key: string }>(
    "select meta #>> '{workflow,step}' as key from millrace.jobs where meta #>> '{workflow,id}' = $1 order by 1",
    [id],
  )
  return rows.map((row) => row.key)
}

test("two parents that end at once release their child once: the second sees the first", async () => {
  const { id } = await flows.push(joined)
  await using first = await session()
  await using second = await session()
  await end(first, [await jobOf(id, "left")])
  const right = await jobOf(id, "right")
  const ended = end(second, [right])
  await until(waiting, "the second waits for the workflow")
  await first.query("commit")
  await ended
  await second.query("commit")
  expect(await states(id)).toEqual({ left: "succeeded", right: "succeeded", join: "active" })
  expect(await jobsOf(id)).toEqual(["join"])
})

test("when the first of two parents rolls back, the child waits for it", async () => {
  const { id } = await flows.push(joined)
  await using first = await session()
  await using second = await session()
  await end(first, [await jobOf(id, "left")])
  const ended = end(second, [await jobOf(id, "right")])
  await until(waiting, "the second waits for the workflow")
  await first.query("rollback")
  await ended
  await second.query("commit")
  expect(await states(id)).toEqual({ left: "active", right: "succeeded", join: "waiting" })
  await using third = await session()
  await end(third, [await jobOf(id, "left")])
  await third.query("commit")
  expect(await jobsOf(id)).toEqual(["join"])
})

test("what a long transaction releases is ready as of its release: a worker's scan has passed the transaction's start", async () => {
  const { id } = await flows.push(joined)
  await using long = await session()
  const ids = [await jobOf(id, "left"), await jobOf(id, "right")]
  const { rows: started } = await long.query<{ at: string }>("select now()::text as at")
  await end(long, ids)
  await long.query("commit")
  const { rows } = await all.pool.query("select ready_at > $2::timestamptz as later from millrace.jobs where id = $1", [
    await jobOf(id, "join"),
    started[0]!.at,
  ])
  expect(rows).toEqual([{ later: true }])
})

test("two batches with the same workflows in other orders do not deadlock", async () => {
  const [a, b] = await Promise.all([flows.push(joined), flows.push(joined)])
  await using first = await session()
  await using second = await session()
  await end(first, [await jobOf(b.id, "left"), await jobOf(a.id, "left")])
  const ended = end(second, [await jobOf(a.id, "right"), await jobOf(b.id, "right")])
  await until(waiting, "the second waits")
  await first.query("commit")
  await ended
  await second.query("commit")
  for (const { id } of [a, b]) expect(await jobsOf(id)).toEqual(["join"])
})

test("a cancel that comes while a step ends waits, and cancels what that released", async () => {
  const { id } = await flows.push(joined)
  await using first = await session()
  await end(first, [await jobOf(id, "left"), await jobOf(id, "right")])
  const cancelled = flows.get(id).cancel("enough")
  await until(waiting, "the cancel waits for the workflow")
  await first.query("commit")
  expect(await cancelled).toBe(true)
  expect(await states(id)).toEqual({ left: "succeeded", right: "succeeded", join: "cancelled" })
  expect((await flows.get(id).get())!.state).toBe("cancelled")
  expect(await jobsOf(id)).toEqual([])
})

test("a step that ends after the cancel releases nothing, and is the workflow's last", async () => {
  const { id } = await flows.push(joined)
  const left = await jobOf(id, "left")
  await all.pool.query("update millrace.jobs set state = 'running', token = $1 where id = $2", [token, left])
  await flows.get(id).cancel()
  expect(await states(id)).toEqual({ left: "active", right: "cancelled", join: "waiting" })
  expect((await flows.get(id).get())!.state).toBe("cancelling")
  await using first = await session()
  await end(first, [left])
  await first.query("commit")
  expect(await states(id)).toEqual({ left: "cancelled", right: "cancelled", join: "cancelled" }) // somebody had asked
  expect((await flows.get(id).get())!.state).toBe("cancelled")
})

test("a caller who dies between the two halves of a cancel leaves a workflow that a worker ends", async () => {
  const { id } = await flows.push(joined)
  await all.pool.query("select millrace.workflow_cancel_1($1, 'half', false)", [id])
  expect(await states(id)).toEqual({ left: "active", right: "active", join: "waiting" })
  await using worker = await all.worker(app)
  expect(worker.state).toBe("running")
  await until(async () => (await flows.get(id).get())!.state === "cancelled", "it is cancelled")
  await worker.stop()
})

test("an old job of a step that was retried changes nothing when it ends", async () => {
  const { id } = await flows.push(single)
  const old = await jobOf(id, "only")
  await flows.get(id).cancel()
  await flows.get(id).retry()
  const fresh = await jobOf(id, "only")
  expect(fresh).not.toBe(old)
  await app.job(old).retry()
  await using first = await session()
  await end(first, [old])
  await first.query("commit")
  expect(await states(id)).toEqual({ only: "active" })
  await using second = await session()
  await end(second, [fresh])
  await second.query("commit")
  expect((await flows.get(id).get())!.state).toBe("succeeded")
})

test("a timer that two workers fire at once ends once, and releases one job", async () => {
  const napping = workflow("napping", (w: Builder<undefined>) => {
    w.step("after", job, {}, { after: w.sleep("nap", "1h") })
  })
  const { id } = await flows.push(napping)
  await all.pool.query("update millrace.workflow_steps set wake_at = now() where workflow_id = $1 and key = 'nap'", [
    id,
  ])
  await using first = await session()
  await using second = await session()
  const fire = async (client: pg.PoolClient) => {
    const { rows } = await client.query<{ fired: number }>("select fired from millrace.workflow_fire_1(100)")
    return rows[0]!.fired
  }
  expect(await fire(first)).toBe(1)
  const fired = fire(second)
  await until(waiting, "the second waits for the workflow")
  await first.query("commit")
  expect(await fired).toBe(0)
  await second.query("commit")
  expect(await states(id)).toEqual({ nap: "succeeded", after: "active" })
  expect(await jobsOf(id)).toEqual(["after"])
})

const grow = (id: string, claims: number) => flows.graft({ id, claims }, (w) => void w.step("grown", job, {}))

/** A step's job that runs as its first claim. */
async function running(): Promise<{ workflow: string; id: string }> {
  const { id: workflow } = await flows.push(single)
  const id = await jobOf(workflow, "only")
  await all.pool.query("update millrace.jobs set state = 'running', token = $1, claims = 1 where id = $2", [token, id])
  return { workflow, id }
}

const takeBack = "update millrace.jobs set state = 'pending', token = null where id = $1"

test("a claim cannot be lost while a graft of it is decided", async () => {
  const { workflow: id, id: jobId } = await running()
  await using busy = await session()
  await busy.query("select from millrace.workflows where id = $1 for update", [id])
  const grafted = grow(jobId, 1)
  await until(waiting, "the graft waits for the workflow")
  const free = "select id from millrace.jobs where id = $1 for update skip locked" // as recovery looks for lost jobs
  expect((await all.pool.query(free, [jobId])).rows).toEqual([])
  await busy.query("rollback")
  await grafted
  expect((await all.pool.query(free, [jobId])).rows).toHaveLength(1)
  expect(await states(id)).toEqual({ only: "active", grown: "waiting" })
})

test("a graft that comes while its claim is being lost waits, and is refused", async () => {
  const { workflow: id, id: jobId } = await running()
  await using recovery = await session()
  await recovery.query(takeBack, [jobId])
  const grafted = grow(jobId, 1).then(
    () => "done",
    (error: { code: string }) => error.code,
  )
  await until(waiting, "the graft waits for the job")
  await recovery.query("commit")
  expect(await grafted).toBe("MILLRACE_LEASE_LOST")
  expect(await states(id)).toEqual({ only: "active" })
})

test("a workflow that cannot be advanced fails alone; the batch is stored, and its neighbours go on", async () => {
  const [bad, good] = await Promise.all([flows.push(joined), flows.push(joined)])
  // A template that the database cannot fill: nobody but a fault of ours makes one.
  await all.pool.query(
    `update millrace.workflow_steps set plan = jsonb_set(plan, '{holes,0,path}', '"{broken"') where workflow_id = $1 and key = 'join'`,
    [bad.id],
  )
  await using first = await session()
  const ids = await Promise.all([bad, good].flatMap(({ id }) => [jobOf(id, "left"), jobOf(id, "right")]))
  await end(first, ids)
  await first.query("commit")
  const failed = (await bad.get())!
  expect(failed.state).toBe("failed")
  expect(failed.failure?.error).toMatchObject({
    code: "MILLRACE_BAD_WORKFLOW",
    message: expect.stringMatching(/malformed array/),
  })
  expect(await states(good.id)).toEqual({ left: "succeeded", right: "succeeded", join: "active" })
})

test("the plugin's tables can be taken away and made again", async () => {
  const { migrations = [] } = workflows()
  const names = {
    plain: "millrace",
    schema: '"millrace"',
    channel: "millrace_events",
    of: (name: string) => `"millrace"."${name}"`,
  }
  await using client = await session()
  for (const statement of migrations[0]!.down(names)) await client.query(statement)
  const { rows } = await client.query("select proname from pg_proc where proname like 'workflow%'")
  expect(rows).toEqual([])
  for (const statement of migrations[0]!.up(names)) await client.query(statement)
})

test("nobody may call the functions of the plugin unless it is granted", async () => {
  const { rows } = await all.pool.query<{ name: string }>(
    `select p.proname as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace,
       lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     where n.nspname = 'millrace' and p.proname like 'workflow%' and a.grantee = 0`,
  )
  expect(rows).toEqual([])
})

test("a step's job has the limit key that its definition finds in the payload; one that is code is refused", async () => {
  const keyed = defineJob<{ customer: { id: string } }>({ name: "keyed", limitKey: "customer.id", queue: "keyed" })
  const one = workflow("one", (w: Builder<string>) => w.step("only", keyed, { customer: { id: w.input } }))
  const { id } = await flows.push(one, "c7")
  expect(await app.job(await jobOf(id, "only")).get()).toMatchObject({ limitKey: "c7", state: "pending" })
  const coded = defineJob<{ a: string }>({ name: "coded", limitKey: ({ a }) => a })
  expect(() => workflow("two", (w: Builder<string>) => w.step("only", coded, { a: w.input }))).toThrow(
    /limitKey of "coded" is code/,
  )
})

import { randomUUID } from "node:crypto"
import { cancel, defineJob, discard, snooze, type JobState, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { transitions } from "../../src/model/state.ts"
import { fixture, gate, until, type Fixture } from "../support/app.ts"
import { atOnce, ended, obeying, raise, range, reached } from "../support/worker-fixture.ts"

/*
 * Triggers record every move of every job while this file drives each feature; in the end each move that was made stands
 * in the table of the design, and each of the table was made. Progress, a request to cancel and a waiter's mark change a
 * row without moving it, and do not count.
 */
const triggers = [
  "create table public.last_state (id uuid primary key, state text not null)",
  "create table public.moves (was text not null, now text not null, job uuid not null, primary key (was, now, job))",
  `create function public.moved() returns trigger language plpgsql as $$
   declare
     v_was text;
   begin
     if tg_op = 'UPDATE' then
       if old.state = new.state and (old.state = 'running' or (to_jsonb(old) - 'awaited') = (to_jsonb(new) - 'awaited')) then
         return null;
       end if;
     end if;
     select l.state into v_was from public.last_state l where l.id = new.id;
     insert into public.moves values (coalesce(v_was, 'new'), new.state::text, new.id) on conflict do nothing;
     insert into public.last_state values (new.id, new.state::text)
       on conflict (id) do update set state = excluded.state;
     return null;
   end $$`,
  "create trigger moved after insert or update on millrace.jobs for each row execute function public.moved()",
  "create trigger moved after insert on millrace.jobs_history for each row execute function public.moved()",
]

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
  for (const statement of triggers) await own.pool.query(statement)
  await app.declareQueue({ name: "waiting", tags: [] }) // nobody runs what waits here
})
afterAll(() => own.close())

const waiting = defineJob({ name: "waiting", queue: "waiting" })
const later = { runAt: "in 1h" }

/** A job that waits in this state, where nobody runs it. */
async function inState(state: "scheduled" | "pending" | "retrying" | "blocked") {
  if (state === "scheduled") return app.push(waiting, {}, later)
  if (state === "pending") return app.push(waiting)
  const name = `${state}-${randomUUID()}`
  const job = defineJob({ name, backoff: { initial: "1h", jitter: "none" } })
  const handlers = state === "retrying" ? [job.handler(() => raise(new Error("no")))] : []
  await using _worker = await own.worker(app, { handlers })
  const pushed = await app.push(job)
  await reached(app, pushed, state)
  return pushed
}

/** What may be done to a job that waits. */
const doings = ["cancelled", "retried", "put off", "brought forward", "given another priority"] as const

for (const state of ["scheduled", "pending", "retrying", "blocked"] as const) {
  for (const doing of doings) {
    test(`a ${state} job that is ${doing} moves as the table says`, async () => {
      const job = await inState(state)
      const before = (await job.get())!
      expect(before.state).toBe(state)
      if (doing === "cancelled") await job.cancel()
      else if (doing === "retried") await job.retry()
      else if (doing === "put off") await job.update({ runAt: "in 2h" })
      else if (doing === "brought forward") await job.update({ runAt: new Date(0) })
      else await job.update({ priority: 3 })
      const after = (await job.get())!.state
      expect(transitions[state]).toContain(after)
      if (after !== "cancelled") await job.cancel()
    })
  }
}

test("every end of an attempt moves as the table says", async () => {
  const ends: Record<string, [() => unknown, JobState]> = {
    succeeds: [() => "result", "succeeded"],
    throws: [() => raise(new Error("no")), "retrying"],
    discards: [() => discard(), "failed"],
    cancels: [() => cancel(), "cancelled"],
    snoozes: [() => snooze("1h"), "scheduled"],
  }
  const job = defineJob<string, unknown>({ name: "ends", backoff: { initial: "1h" } })
  await using _worker = await own.worker(app, { handlers: [job.handler(async (how) => ends[how]![0]())] })
  for (const [how, [, state]] of Object.entries(ends)) {
    const pushed = await app.push(job, how)
    expect(await reached(app, pushed, state)).toMatchObject({ state })
    await pushed.cancel()
  }
})

test("a running job that is cancelled, and one over its time limit, move as the table says", async () => {
  const endless = defineJob({ name: "endless" })
  await using _worker = await own.worker(app, { handlers: [endless.handler((_, job) => obeying(job.signal))] })
  const asked = await app.push(endless)
  await reached(app, asked, "running")
  await asked.cancel()
  expect((await ended(app, asked)).state).toBe("cancelled")
  expect((await ended(app, await app.push(endless, {}, { timeout: 10, maxAttempts: 1 }))).state).toBe("failed")
})

test("finished jobs that are retried move as the table says", async () => {
  const how = defineJob<string, unknown>({ name: "finished" })
  const jobs = await app.pushMany(how, ["succeeded", "failed", "cancelled"])
  const worker = await own.worker(app, {
    handlers: [how.handler((state) => ({ succeeded: "ok", failed: discard(), cancelled: cancel() })[state])],
  })
  const records = await app.wait(jobs, { timeout: "20s" })
  expect(records.map(({ state }) => state)).toEqual(["succeeded", "failed", "cancelled"])
  await worker.stop()
  for (const job of jobs) await job.retry()
  expect((await Promise.all(jobs.map((job) => job.get()))).map((record) => record!.state)).toEqual(
    range(3).map(() => "pending"),
  )
  for (const job of jobs) await job.cancel()
})

test("jobs of a transaction, a batch, a handler's push and a plugin's saving move as the table says", async () => {
  const child = defineJob({ name: "child" })
  const inTransaction = defineJob({ name: "in-transaction" })
  const batched = defineJob<number>({ name: "batched", maxAttempts: 2, backoff: atOnce })
  const jobs = [...(await app.pushMany(batched, range(9))), await app.push(inTransaction)]
  await using _worker = await own.worker(app, {
    plugins: [{ name: "saving", saving: { select: () => true, run: async () => {} } }],
    handlers: [
      child.handler(() => {}),
      inTransaction.handler(async (_, job) => {
        await job.push(child, {}, { delay: 1 })
        await job.transaction(() => {})
      }),
      batched.batch({ size: 3 }, (batch) => batch.map(({ payload }) => (payload % 2 ? new Error("odd") : undefined))),
    ],
  })
  await app.wait(jobs, { timeout: "20s" })
  await until(async () => {
    const { rows } = await own.pool.query("select 1 from millrace.jobs_history where name = 'child'")
    return rows.length === 1
  }, "the child ran")
})

test("jobs handed back by a stop, a pause and a recovery move as the table says", async () => {
  await app.declareQueue({ name: "held", concurrency: 1, claimAhead: 5 })
  const open = gate()
  const held = defineJob<number>({ name: "held", queue: "held" })
  const jobs = await app.pushMany(held, range(4))
  const worker = await own.worker(app, {
    id: "lost",
    shutdownTimeout: 0,
    grace: 20,
    handlers: [held.handler(() => open.opened)],
  })
  await app.wait(jobs, { states: ["running"], timeout: "20s" })
  await app.pauseQueue("held")
  await app.wait(jobs.slice(1), { states: ["pending"], timeout: "20s" })
  await own.pool.query("update millrace.workers set expires_at = now() - interval '1 second' where id = 'lost'")
  await reached(app, jobs[0]!, "pending")
  await app.resumeQueue("held")
  await until(() => worker.running > 0, "one runs again")
  await worker.stop()
  open.open()
  expect((await Promise.all(jobs.map((job) => job.get()))).map((record) => record!.state)).toEqual(
    range(4).map(() => "pending"),
  )
  await app.deleteQueue("held", { jobs: true })
})

test("jobs of a worker that is lost too often, or that were to be cancelled, move as the table says", async () => {
  const lost = async (asked: boolean) => {
    const job = await app.push(waiting)
    const dead = randomUUID()
    await own.pool.query(
      `insert into millrace.workers (incarnation, id, hostname, pid, tags, expires_at)
       values ($1, $2, 'gone', 1, '{}', now() + interval '1 hour')`,
      [dead, `lost ${dead}`],
    )
    await own.pool.query("update millrace.jobs set state = 'running', token = $2, worker = $3 where id = $1", [
      job.id,
      randomUUID(),
      dead,
    ])
    if (asked) await job.cancel()
    await own.pool.query(
      "update millrace.workers set expires_at = now() - interval '1 second' where incarnation = $1",
      [dead],
    )
    return job
  }
  await using _worker = await own.worker(app, { maxCrashes: 1 })
  expect((await ended(app, await lost(false))).state).toBe("failed")
  expect((await ended(app, await lost(true))).state).toBe("cancelled")
})

test("a parked job is released, and a due job promoted, as the table says", async () => {
  const parked = defineJob({ name: "parked" })
  const first = await own.worker(app)
  const job = await app.push(parked)
  await reached(app, job, "blocked")
  await using _second = await own.worker(app, { handlers: [parked.handler(() => {})] })
  expect((await ended(app, job)).state).toBe("succeeded")
  expect((await ended(app, await app.push(parked, {}, { delay: 10 }))).state).toBe("succeeded")
  await first.stop()
})

test("every move that was made stands in the table, and every move of the table was made", async () => {
  const { rows } = await own.pool.query<{ move: string }>(
    "select distinct was || ' → ' || now as move from public.moves",
  )
  const made = new Set(rows.map(({ move }) => move))
  const allowed = new Set(Object.entries(transitions).flatMap(([was, all]) => all.map((now) => `${was} → ${now}`)))
  expect([...made].filter((move) => !allowed.has(move)).sort(), "not in the table").toEqual([])
  expect([...allowed].filter((move) => !made.has(move)).sort(), "never made").toEqual([])
})

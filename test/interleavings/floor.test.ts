import { afterAll, beforeAll, expect, test } from "vitest"
import { defineJob } from "millrace"
import { deferred } from "../../src/lib/deferred.ts"
import { noFloors, type Floors } from "../../src/postgres/jobs.ts"
import type { Identity } from "../../src/worker/home.ts"
import { ScanFloors } from "../../src/worker/scan-floors.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage, type Stage } from "./support/stage.ts"
import { times, until } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

/** Everything pushed from now on is a minute old: what is younger than a tenth of a second is never behind a floor. */
async function aged(database: TestDatabase): Promise<Stage> {
  const s = await openStage(database)
  await s.sql(`create function $s.age() returns trigger language plpgsql as
    $$ begin new.ready_at := new.ready_at - interval '1 minute'; return new; end $$`)
  await s.sql("create trigger age before insert on $s.jobs for each row execute function $s.age()")
  return s
}

/** One claimer that uses floors as the worker does, on a clock of its own: `expensive` full scans are affordable every 10 s. */
function claimer(s: Stage, member: Identity, expensive = 1_000) {
  const floors = new ScanFloors()
  let now = 0
  return {
    /** Lets so much time pass, ms. */
    pass: (ms: number) => void (now += ms),
    async claim(limit: number): Promise<{ ids: string[]; used: Floors }> {
      const used = floors.next(now)
      const { claimed, ids } = await s.call(member, { limit, floors: used })
      floors.learn(claimed, used, expensive, now)
      return { ids, used }
    },
  }
}

test("#30 a late committer below the floor is not seen from the floor, and found by the next full scan", async () => {
  await using s = await aged(database)
  const [a] = await s.sessions()
  const { claim, pass } = claimer(s, await s.member())
  await a.begin()
  const late = await s.pushOne({}, a.db)
  const early = await s.pushOne()
  expect((await claim(5)).ids).toEqual([early])
  await a.commit()
  const behind = await claim(5)
  expect(behind.used.ranks).toEqual([0])
  expect(behind.ids).toEqual([])
  pass(10_000)
  const full = await claim(5)
  expect(full).toMatchObject({ used: noFloors, ids: [late] })
})

test("#30 transactions of the same moment hide nothing from each other, however they commit", async () => {
  await using s = await openStage(database)
  const member = await s.member()
  const [late, early] = (await s.push([{}, {}])) as [string, string]
  // Ahead of the clock, so that it does not matter how long this takes.
  await s.sql("update $s.jobs set ready_at = now() + interval '1 minute'")
  const claimed: Floors = { ranks: [0], ready: [Date.now() / 1_000 + 120], ids: [early] }
  expect((await s.call(member, { limit: 1, floors: claimed })).ids).toEqual([late])
})

test("#30 full scans come as often as costs a twentieth of the time, so cheap ones find it at once", async () => {
  await using s = await aged(database)
  const [a] = await s.sessions()
  const { claim, pass } = claimer(s, await s.member(), 0.5)
  await a.begin()
  const late = await s.pushOne({}, a.db)
  await s.pushOne()
  await claim(5)
  await a.commit()
  pass(9)
  expect((await claim(5)).ids).toEqual([])
  pass(1)
  expect((await claim(5)).ids).toEqual([late])
})

test("#30 a worker finds a late committer by itself, without any wake-up", async () => {
  await using s = await aged(database)
  const [a] = await s.sessions()
  const app = s.app()
  const job = defineJob<string, string>({ name: "job" })
  await s.worker(app, { handlers: [job.handler((payload) => payload)] })
  await a.begin()
  const late = await app.push(job, "late", { tx: a.client, wake: false })
  expect(await (await app.push(job, "early")).result({ timeout: "10s" })).toBe("early")
  await a.commit()
  expect(await late.result({ timeout: "20s" })).toBe("late")
})

test("#31 higher priorities that arrive while floors are in use are claimed first, known ranks and new ones", async () => {
  await using s = await aged(database)
  const { claim } = claimer(s, await s.member())
  await s.push([{ priority: 0 }, { priority: 0 }, { priority: 5 }])
  expect((await claim(3)).used).toEqual(noFloors)
  const [low, known, top, between] = await s.push([{ priority: 0 }, { priority: 5 }, { priority: 9 }, { priority: 3 }])
  const { ids, used } = await claim(10)
  expect(used.ranks).toEqual([-5, 0])
  expect(ids).toEqual([top, known, between, low])
})

test("#31 a limit that is reached within a higher rank leaves the lower ones for later", async () => {
  await using s = await aged(database)
  const { claim } = claimer(s, await s.member())
  await s.push([{ priority: 0 }, { priority: 5 }])
  await claim(2)
  const ids = await s.push([{ priority: 5 }, { priority: 5 }, { priority: 2 }, { priority: 0 }, { priority: -3 }])
  expect((await claim(1)).ids).toEqual([ids[0]])
  expect((await claim(3)).ids).toEqual(ids.slice(1, 4))
  expect((await claim(3)).ids).toEqual([ids[4]])
})

test("#31 the lowest and the highest priority of all have floors as others do", async () => {
  await using s = await aged(database)
  const { claim } = claimer(s, await s.member())
  const extremes = [{ priority: 1_000_000 }, { priority: 0 }, { priority: -1_000_000 }]
  expect((await claim(0)).ids).toEqual([])
  const first = await s.push(extremes)
  expect((await claim(5)).ids).toEqual(first)
  const second = await s.push(extremes)
  const { ids, used } = await claim(5)
  expect(used.ranks).toEqual([-1_000_000, 0, 1_000_000])
  expect(ids).toEqual(second)
})

test("#32 a row that was locked below the floor is not seen from the floor, and found by the next full scan", async () => {
  await using s = await aged(database)
  const [a] = await s.sessions()
  const { claim, pass } = claimer(s, await s.member())
  const [first, second] = (await s.push([{}, {}])) as [string, string]
  await a.begin()
  await a.db.query(`select from ${s.names.of("jobs")} where id = $1 for update`, [first])
  expect((await claim(5)).ids).toEqual([second])
  await a.rollback()
  expect((await claim(5)).ids).toEqual([])
  pass(10_000)
  expect((await claim(5)).ids).toEqual([first])
})

test("#32 a job that was left to others by its name is found by the next full scan once it is wanted", async () => {
  await using s = await aged(database)
  const member = await s.member()
  const floors = new ScanFloors()
  const [rare, common] = (await s.push([{ name: "rare" }, { name: "common" }])) as [string, string]
  const first = await s.call(member, { limit: 5, except: ["rare"], floors: floors.next(0) })
  floors.learn(first.claimed, noFloors, 1_000, 0)
  expect(first.ids).toEqual([common])
  expect((await s.call(member, { limit: 5, floors: floors.next(1) })).ids).toEqual([])
  expect((await s.call(member, { limit: 5, floors: floors.next(10_000) })).ids).toEqual([rare])
})

test("a floor is exact to the microsecond: it hides the last claimed key and nothing behind it", async () => {
  await using s = await aged(database)
  const member = await s.member()
  const ids = await s.push(times(400, {}))
  // Neighbours in steps of one microsecond, at odd places of the clock.
  await s.sql(
    `update $s.jobs j set ready_at = timestamptz '2026-07-14 02:40:00.123457+00' + n * interval '1 microsecond'
       + (n / 100 - 8) * interval '917 days 3.3 seconds'
     from (select id, row_number() over (order by id) as n from $s.jobs) as o where o.id = j.id`,
  )
  let floors: Floors = noFloors
  const seen: string[] = []
  for (let claimed = -1; claimed !== seen.length;) {
    claimed = seen.length
    const call = await s.call(member, { limit: 1, floors })
    seen.push(...call.ids)
    const last = call.claimed.at(-1)
    if (last) floors = { ranks: [0], ready: [last.ready], ids: [last.id] }
  }
  expect(seen).toEqual(ids)
})

interface Visible {
  id: string
  rank: number
  ready: number
}

/** What a claim could take now, in the order in which it should. */
const visible = (s: Stage): Promise<Visible[]> =>
  s.sql<Visible>(
    `select id, rank, date_part('epoch', ready_at) as ready from $s.jobs
     where state = 'pending' order by rank, ready_at, id`,
  )

const hiddenBy = (floors: Floors) => (row: Visible) => {
  const index = floors.ranks.indexOf(row.rank)
  if (index < 0) return false
  const ready = floors.ready[index]!
  return row.ready < ready || (row.ready === ready && row.id <= floors.ids[index]!)
}

/** A small generator of numbers that a seed repeats. */
function randomOf(seed: number) {
  let state = seed
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

test.each([1, 2, 3, 4])(
  "a single claimer with floors takes what was committed in the order of (rank, ready_at, id); only late committers hide (%i)",
  async (seed) => {
    await using s = await aged(database)
    const [a, b] = await s.sessions()
    const random = randomOf(seed)
    const ranks = seed === 4 ? 40 : 5 // more than there are floors for
    const { claim, pass } = claimer(s, await s.member())
    const pushed: string[] = []
    const claimed: string[] = []
    const late = new Set<string>()
    const open = new Map([a, b].map((session) => [session, [] as string[]]))
    const jobs = () => Array.from({ length: 1 + random(6) }, () => ({ priority: random(ranks) - 2 }))
    let [scans, floored] = [0, 0]

    const commit = async (session: typeof a) => {
      const ids = open.get(session)!
      if (ids.length === 0) return
      await session.commit()
      open.set(session, [])
    }
    const pushLate = async (session: typeof a) => {
      if (open.get(session)!.length > 0) return commit(session)
      await session.begin()
      const ids = await s.push(jobs(), session.db)
      open.set(session, ids)
      pushed.push(...ids)
    }
    const claimSome = async () => {
      const before = await visible(s)
      const { ids, used } = await claim(1 + random(8))
      const hidden = before.filter(hiddenBy(used))
      expect(
        hidden.filter(({ id }) => !late.has(id)),
        "hidden, although it was there before",
      ).toEqual([])
      const expected = before.filter((row) => !hidden.includes(row)).map(({ id }) => id)
      expect(ids).toEqual(expected.slice(0, ids.length))
      if (ids.length < expected.length) expect(ids.length).toBeGreaterThan(0)
      claimed.push(...ids)
      for (const session of open.values()) for (const id of session) late.add(id)
      if (used.ranks.length > 0) floored += 1
      scans += 1
    }

    for (let step = 0; step < 150; step++) {
      const what = random(10)
      if (what < 3) pushed.push(...(await s.push(jobs())))
      else if (what < 5) await pushLate(what === 3 ? a : b)
      else if (what < 9) await claimSome()
      else pass(random(3) === 0 ? 10_000 : 100)
    }
    await commit(a)
    await commit(b)
    pass(10_000)
    for (let left = 1; left > 0; pass(10_000)) {
      await claimSome()
      left = (await visible(s)).length
    }
    expect(claimed.toSorted()).toEqual(pushed.toSorted())
    expect(floored, "floors were in use").toBeGreaterThan(scans / 4)
  },
)

test("a worker with one slot starts jobs by priority, then in the order of their pushes", async () => {
  await using s = await aged(database)
  const app = s.app()
  await app.declareQueue({ name: "default", concurrency: 1 }, { upsert: true })
  const job = defineJob<string, string>({ name: "job" })
  const started: string[] = []
  const random = randomOf(7)
  const expected: { priority: number; payload: string }[] = []
  for (let n = 0; n < 200; n++) {
    const priority = random(4)
    const payload = `${priority}/${n}`
    expected.push({ priority, payload })
    await app.push(job, payload, { priority })
  }
  await s.worker(app, {
    handlers: [
      job.handler((payload) => {
        started.push(payload)
        return payload
      }),
    ],
  })
  await until("all have run", () => started.length === 200)
  const sorted = expected.toSorted((x, y) => y.priority - x.priority) // stable: pushes of one priority stay in order
  expect(started).toEqual(sorted.map(({ payload }) => payload))
})

test("#31 a job of higher priority that arrives while a worker works is the next that is claimed", async () => {
  await using s = await aged(database)
  const app = s.app()
  await app.declareQueue({ name: "default", concurrency: 1, claimAhead: 0 }, { upsert: true })
  const job = defineJob<string, string>({ name: "job" })
  const started: string[] = []
  let gate = deferred<void>()
  await app.pushMany(job, ["a", "b", "c"])
  await s.worker(app, {
    handlers: [
      job.handler(async (payload) => {
        started.push(payload)
        await gate.promise
        return payload
      }),
    ],
  })
  await until("the first runs", () => started.length === 1)
  const next = () => {
    const before = gate
    gate = deferred<void>()
    before.resolve()
  }
  next()
  await until("the second runs", () => started.length === 2)
  await app.push(job, "urgent", { priority: 10 })
  next()
  await until("the third runs", () => started.length === 3)
  next()
  await until("the fourth runs", () => started.length === 4)
  next()
  expect(started).toEqual(["a", "b", "urgent", "c"])
})

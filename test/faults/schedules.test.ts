import { cron, defineJob, type ScheduleOptions } from "millrace"
import { setTimeout as pause } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import { lookedAt, textOf, type Pattern } from "../support/wall-clock.ts"
import type { WorkerProcess } from "../support/worker-process.ts"
import { Scene } from "./scene.ts"

/*
 * A simulated time in which three workers are killed and frozen, and one has a clock that jumps. The database's clock of schedules
 * runs faster than the machine's: 600 times for half a minute by itself (five hours, over a change of the clocks in Europe), 60 times with
 * SCHEDULES_SOAK_MINUTES, so that 24 of them make a day.
 */

const minutes = Number(process.env.SCHEDULES_SOAK_MINUTES ?? 0)
const speed = minutes > 0 ? 60 : 600
const lasts = minutes > 0 ? minutes * 60_000 : 25_000
const begin = Date.UTC(2027, 2, 27, 22)

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const tick = defineJob<string>({ name: "tick" })
const zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "America/Santiago"]

interface Planned {
  readonly key: string
  readonly options: Partial<ScheduleOptions>
  /** Times in (from, to]. */
  due(from: number, to: number): number[]
}

/** Fifty, from every minute to some hours of the day, in five zones, and intervals. */
const planned: readonly Planned[] = Array.from({ length: 50 }, (_, n) => {
  const key = `schedule-${n}`
  if (n % 5 === 4) {
    const every = (n + 1) * 61_000
    return {
      key,
      options: { every },
      due: (from, to) =>
        Array.from(
          { length: Math.ceil((to - from) / every) + 1 },
          (__, k) => (Math.floor(from / every) + 1 + k) * every,
        ).filter((at) => at <= to),
    }
  }
  const zone = zones[n % zones.length]!
  const pattern: Pattern =
    n === 0
      ? { minutes: Array.from({ length: 60 }, (__, minute) => minute), hours: undefined, weekdays: undefined }
      : {
          minutes: [n, (n * 7) % 60, (n * 13 + 5) % 60].slice(0, 1 + (n % 3)),
          hours: n % 3 === 0 ? undefined : [0, 1, 2, 3, 9, 17, 18, 22, 23].map((hour) => (hour + (n % 4)) % 24),
          weekdays: undefined,
        }
  return { key, options: { cron: textOf(pattern), zone }, due: (from, to) => lookedAt(pattern, zone, from, to) }
})

/** The clock of this scene's schedules: begins at `begin` now, and runs `speed` times as fast. */
async function speedUp(scene: Scene): Promise<void> {
  const s = `"${scene.schema}"`
  const { rows } = await scene.pool.query<{ at: string }>("select clock_timestamp()::text as at")
  await scene.pool
    .query(`create or replace function ${s}.schedule_clock_1() returns timestamptz language sql volatile as
    $$ select '${new Date(begin).toISOString()}'::timestamptz + (clock_timestamp() - '${rows[0]!.at}'::timestamptz) * ${speed} $$`)
  await scene.pool
    .query(`create or replace function ${s}.schedule_wait_1(p_at timestamptz) returns float8 language sql volatile as
    $$ select extract(epoch from p_at - ${s}.schedule_clock_1())::float8 * 1000 / ${speed} $$`)
}

test(
  "whatever becomes of workers and their clocks, fifty schedules have exactly the ticks and the jobs that they should have",
  { timeout: lasts + 120_000 },
  async () => {
    const schedules = cron()
    const scene = await Scene.open(database.url)
    const app = scene.newApp({ plugins: [schedules] })
    await app.migrate()
    await speedUp(scene)
    const since = new Map<string, number>()
    for (const { key, options } of planned) {
      const made = await schedules.schedule(tick, key, { key, missed: "all", ...options })
      since.set(key, made.nextAt!.getTime())
    }
    // Of these the jobs depend on who was there when; that no tick has two does not.
    for (const missed of ["once", "skip"] as const) {
      await schedules.schedule(tick, missed, { key: missed, cron: "* * * * *", missed, overlap: "allow" })
      await schedules.schedule(tick, missed, {
        key: `${missed}-replace`,
        cron: "* * * * *",
        missed,
        overlap: "replace",
      })
    }

    const start = (id: string): WorkerProcess =>
      scene.process("schedules", id, {
        app: { dsn: database.url, schema: scene.schema },
        id,
        jumps: id.startsWith("c"),
      })
    const crew = new Map(["a", "b", "c"].map((id) => [id, start(id)]))
    const clock = async () =>
      Number(
        (
          await scene.pool.query<{ ms: string }>(
            `select extract(epoch from "${scene.schema}".schedule_clock_1()) * 1000 as ms`,
          )
        ).rows[0]!.ms,
      )
    let kills = 0
    for (const end = performance.now() + lasts; performance.now() < end;) {
      const [id, worker] = [...crew][Math.floor(Math.random() * crew.size)]!
      if (Math.random() < 0.4) {
        worker.kill()
        crew.set(id, start(`${id[0]}${(kills += 1)}`))
      } else {
        worker.freeze()
        await pause(300 + Math.random() * 2_500)
        worker.thaw()
      }
      await pause(Math.random() * 600)
    }
    const reached = await clock()
    await until("every tick up to the end has been acted on", async () => {
      const { rows } = await scene.pool.query<{ left: number }>(
        `select count(*)::int as left from "${scene.schema}".schedules where next_at <= $1`,
        [new Date(reached)],
      )
      return rows[0]!.left === 0
    })

    const { rows } = await scene.pool.query<{ key: string; at: Date; job: string | null; outcome: string }>(
      `select key, at, job, outcome from "${scene.schema}".schedule_ticks where at <= $1 order by key, at`,
      [new Date(reached)],
    )
    const byKey = grouped(rows)
    for (const { key, due } of planned) {
      const times = (byKey.get(key) ?? []).map(({ at, outcome }) => `${at.toISOString()} ${outcome}`)
      const expected = due(since.get(key)! - 1, reached).map((at) => `${new Date(at).toISOString()} pushed`)
      expect({ key, times }).toEqual({ key, times: expected })
    }
    // Each tick has one job, which says which tick it is of; and no job is of no tick.
    const jobs = await scene.pool.query<{ id: string; tick: string }>(
      `select id, meta #>> '{schedule,key}' || ' ' || (meta #>> '{schedule,at}') as tick from "${scene.schema}".all_jobs
       where (meta #>> '{schedule,at}')::timestamptz <= $1 order by id`,
      [new Date(reached)],
    )
    const said = jobs.rows.map(({ id, tick: of }) => `${of} ${id}`).sort()
    const written = rows
      .flatMap(({ key, at, job }) => (job === null ? [] : [`${key} ${at.toISOString()} ${job}`]))
      .sort()
    expect(said).toEqual(written)
    expect(new Set(jobs.rows.map(({ tick: of }) => of)).size).toBe(jobs.rows.length)
    if (minutes > 0) process.stderr.write(`${rows.length} ticks, ${jobs.rows.length} jobs, ${kills} workers killed\n`)
  },
)

function grouped<Row extends { key: string }>(rows: readonly Row[]): Map<string, Row[]> {
  const byKey = new Map<string, Row[]>()
  for (const row of rows) byKey.set(row.key, [...(byKey.get(row.key) ?? []), row])
  return byKey
}

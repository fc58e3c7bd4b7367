// PostgreSQL itself dies, durability on, and comes back.
import { afterAll, beforeAll, expect, test } from "vitest"
import { isMillraceError, type Millrace } from "millrace"
import { startPostgres } from "../../tools/postgres.mjs"
import { until } from "../support/until.ts"
import { effect, hold } from "./jobs.ts"
import { Scene } from "./scene.ts"

type Server = Awaited<ReturnType<typeof startPostgres>>

const given = process.env.DATABASE_URL !== undefined // that one is not ours to kill
let server: Server | undefined
beforeAll(async () => {
  if (!given) server = await startPostgres({ fsync: true })
})
afterAll(() => server?.stop())

/** Pushes until told to stop; what became of each push, by its number. */
class Pushing {
  readonly resolved = new Map<number, string>()
  readonly rejected = new Map<number, unknown>()
  static #next = 0
  readonly #lanes: Promise<void>[]
  #going = true

  constructor(app: Millrace, lanes: number) {
    this.#lanes = Array.from({ length: lanes }, () => this.#push(app))
  }

  async #push(app: Millrace): Promise<void> {
    while (this.#going) {
      const n = ++Pushing.#next
      await app.push(effect, { n }).then(
        (job) => this.resolved.set(n, job.id),
        (error: unknown) => this.rejected.set(n, error),
      )
    }
  }

  async stop(): Promise<void> {
    this.#going = false
    await Promise.all(this.#lanes)
  }
}

test.skipIf(given)(
  "a killed PostgreSQL loses no acknowledged push; workers reconnect, and settle once what they held",
  async () => {
    const scene = await Scene.open(server!.url)
    const workers = [await scene.worker("one"), await scene.worker("two")]
    const held = (await scene.app.pushMany(hold, [{}, {}, {}, {}])).map((job) => job.id)
    for (const job of held) await until(`job ${job} runs`, () => scene.runs(job).length > 0)
    const patient = new Pushing(scene.newApp({ pushTimeout: "2m" }), 6)
    const hasty = new Pushing(scene.newApp({ pushTimeout: 100 }), 2)

    for (let kill = 1; kill <= 2; kill++) {
      const before = patient.resolved.size
      await until("pushes go on", () => patient.resolved.size > before + 100)
      await server!.kill()
      if (kill === 1) for (const worker of workers) for (const job of held.slice(0, 2)) worker.finish(job)
      const failed = hasty.rejected.size
      await until("pushes that cannot wait fail", () => hasty.rejected.size > failed + 4)
      await server!.restart()
    }
    const before = patient.resolved.size
    await until("pushes go on", () => patient.resolved.size > before + 100)
    await Promise.all([patient.stop(), hasty.stop()])
    for (const worker of workers) for (const job of held) worker.finish(job)
    await scene.drained(60_000)

    expect([...patient.rejected.values()]).toEqual([])
    for (const error of hasty.rejected.values()) expect(isMillraceError(error, "MILLRACE_PUSH_UNKNOWN")).toBe(true)
    const { rows } = await scene.pool.query<{ id: string; n: number; state: string; effects: number }>(
      `select id, (payload->>'n')::int as n, state::text, (select count(*)::int from ${scene.effects} e where e.job = h.id) as effects
       from ${scene.schema}.jobs_history h where name = 'effect'`,
    )
    const stored = new Map(rows.map((row) => [row.n, row]))
    expect(rows).toHaveLength(stored.size) // each push is one job
    for (const [n, id] of [...patient.resolved, ...hasty.resolved])
      expect(stored.get(n)).toEqual({ id, n, state: "succeeded", effects: 1 })
    for (const { n, state, effects } of stored.values()) {
      expect({ n, state, effects }).toEqual({ n, state: "succeeded", effects: 1 })
      expect(patient.resolved.has(n) || hasty.resolved.has(n) || hasty.rejected.has(n)).toBe(true)
    }
    for (const job of held) {
      expect(await scene.job(job)).toMatchObject({ state: "succeeded", attempts: 1, crashes: 0, claims: 1 })
      expect(scene.runs(job)).toHaveLength(1)
    }
    const { rows: crashed } = await scene.pool.query(`select id from ${scene.schema}.jobs_history where crashes > 0`)
    expect(crashed).toEqual([])
    expect(workers.map((worker) => worker.alive)).toEqual([true, true])
  },
)

import { leadership, type Plugin, type PluginContext } from "millrace/worker"
import { expect, test } from "vitest"
import { deferred } from "../../src/lib/deferred.ts"
import { startApp, until } from "../support/start-app.ts"

/** Hands out its context. */
function probe() {
  let found: PluginContext | undefined
  const plugin: Plugin = { name: "probe", onStart: (ctx) => void (found = ctx) }
  return { plugin, ctx: () => found! }
}

const short = () => leadership({ lease: "1s", every: "100ms" })

test("nobody takes over while a leader's fenced transaction is open, although its term is over", async () => {
  const held = probe()
  const { sql, addWorker } = await startApp({ worker: false })
  const first = await addWorker({ plugins: [short(), held.plugin] })
  await until(() => first.leads && held.ctx() !== undefined)
  const go = deferred<void>()
  const inside = deferred<void>()
  const writing = held.ctx().asLeader(async () => {
    inside.resolve()
    await go.promise
    return "written"
  })
  await inside.promise
  await sql("update $schema.leader set expires_at = '-infinity'") // the kind of lock that a renewal takes: it passes
  const second = await addWorker({ plugins: [short()] })
  await until(async () => {
    const waiting = await sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%leader%'")
    return waiting.length > 0
  })
  expect(second.leads).toBe(false)
  go.resolve()
  expect(await writing).toBe("written")
  await until(() => first.leads || second.leads)
})

test("asLeader is refused to those that do not lead, and when the term is over; nothing runs", async () => {
  const held = probe()
  const { worker, sql } = await startApp({ plugins: [leadership({ lease: "1h", every: "20m" }), held.plugin] })
  await until(() => worker.leads && held.ctx() !== undefined)
  await sql("update $schema.leader set expires_at = '-infinity'")
  const ran: string[] = []
  const act = () => held.ctx().asLeader(async () => ran.push("ran"))
  await expect(act()).rejects.toMatchObject({ code: "MILLRACE_NOT_LEADER" })
  await worker.stop()
  await expect(act()).rejects.toMatchObject({ code: "MILLRACE_NOT_LEADER" })
  expect(ran).toEqual([])
})

test("a leader that cannot renew stops trusting itself before its term ends", async () => {
  const { worker, sql, app } = await startApp({ plugins: [leadership({ lease: "12s", every: "1s" })] })
  await until(() => worker.leads)
  const lost = app.hub.waitFor("leadership.lost", { timeout: "60s" })
  await sql("alter table $schema.leader rename to hidden")
  await lost
  const [row] = await sql("select expires_at > now() as lasts from $schema.hidden")
  await sql("alter table $schema.hidden rename to leader")
  expect(row).toEqual({ lasts: true })
  await until(() => worker.leads)
})

test("without notifications a successor is found at its next look", async () => {
  const { addWorker } = await startApp({ worker: false, app: { notifications: false } })
  const first = await addWorker({ plugins: [short()] })
  await until(() => first.leads)
  const second = await addWorker({ plugins: [short()] })
  await first.stop()
  await until(() => second.leads)
})

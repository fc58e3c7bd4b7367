// Payloads of schedules and triggers are typed by the definition. Never run: `tsc --noEmit` is the test.
import { cron, defineJob, defineSchedule, triggers, type Cron, type Millrace } from "millrace"
import { z } from "zod"

const report = defineJob({
  name: "report",
  payload: z.object({ kind: z.string(), width: z.string().transform(Number) }),
})
const plain = defineJob<number>({ name: "plain" })
const empty = defineJob<undefined>({ name: "empty" })

export async function schedules(app: Millrace): Promise<void> {
  const made = cron({ schedules: [defineSchedule(report, { kind: "x", width: "2" }, { key: "x", every: "1m" })] })
  await made.schedule(report, { kind: "x", width: "2" }, { key: "x", cron: "0 9 * * *", push: { priority: 1 } })
  await made.schedule(empty, undefined, { key: "e", every: 60_000 })
  // @ts-expect-error the schema's input, not its output
  await made.schedule(report, { kind: "x", width: 2 }, { key: "x", every: "1m" })
  // @ts-expect-error another payload
  defineSchedule(plain, "1", { key: "x", every: "1m" })
  // @ts-expect-error a key is needed
  await made.schedule(plain, 1, { every: "1m" })
  // @ts-expect-error no such policy
  await made.schedule(plain, 1, { key: "x", every: "1m", overlap: "maybe" })
  // @ts-expect-error a tick has its own time
  await made.schedule(plain, 1, { key: "x", every: "1m", push: { runAt: "in 1m" } })
  const found: Cron = app.plugin<Cron>("cron")
  await found.runNow("x")
}

export async function mappings(): Promise<void> {
  const pushes = triggers()
  await pushes.on("users", ["insert"], report, { payload: { kind: { value: "user" }, width: "id" } })
  await pushes.on("users", ["insert"], report, { payload: "row" })
  await pushes.on("users", ["insert"], report)
  // @ts-expect-error a key is missing
  await pushes.on("users", ["insert"], report, { payload: { kind: "name" } })
  // @ts-expect-error no such event
  await pushes.on("users", ["truncate"], report)
}

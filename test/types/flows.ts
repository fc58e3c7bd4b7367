// Types flow through a flow: from its input to its steps and its result. Never run: `tsc --noEmit` is the test.
import { defineFlow, defineJob, flows, Millrace, type FlowJob, type Reference, type Stored } from "millrace"
import { Worker } from "millrace/worker"
import { z } from "zod"

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(yes: Same<A, B>): boolean => yes

const plugin = flows()
const app = new Millrace({ dsn: "postgres://", logger: false, plugins: [plugin] })
const mail = defineJob<{ to: string }, { sent: Date }>({ name: "mail" })

const order = defineFlow("order", async (flow, input: { item: string }) => {
  const charge = await flow.step("charge", () => ({ at: new Date(), cents: 100, note: undefined }))
  same<typeof charge, { at: string; cents: number; note: undefined }>(true)
  const count = await flow.transaction(
    "count",
    async (tx) => (await tx.query<{ n: number }>("select 1 as n")).rows[0]!.n,
  )
  same<typeof count, number>(true)
  const approval = await flow.waitFor("approved", { schema: z.object({ by: z.string() }), timeout: "3d" })
  same<typeof approval, { by: string }>(true)
  const any = await flow.waitFor("anything")
  same<typeof any, unknown>(true)
  const child = await flow.push(mail, { to: "x" }, { delay: "1h" })
  same<typeof child, FlowJob<{ sent: Date }>>(true)
  const sent = await child.result()
  same<typeof sent, { sent: string }>(true)
  // @ts-expect-error a field is missing
  await flow.push(mail, {})
  // @ts-expect-error the job is pushed with the step
  await flow.push(mail, { to: "x" }, { tx: app })
  await flow.sleep("3d")
  await flow.sleep("cool down", "3d")
  const now = await flow.now()
  same<typeof now, Date>(true)
  return { item: input.item, charge }
})

const parsed = defineFlow(
  { name: "parsed", payload: z.object({ n: z.string().transform(Number) }), result: z.object({ ok: z.boolean() }) },
  (_, { n }) => {
    same<typeof n, number>(true)
    return { ok: n > 0 }
  },
)

const apart = defineFlow<{ id: number }, string>("apart")

export async function used(): Promise<void> {
  const job = await app.push(order, { item: "book" }, { uniqueKey: "book" })
  const { charge } = await job.result()
  same<typeof charge.at, string>(true)
  // @ts-expect-error a field is missing
  await app.push(order, {})
  const other = await app.push(parsed, { n: "1" })
  same<typeof other, Reference<{ ok: boolean }>>(true)
  void new Worker(app, { handlers: [order, parsed, apart.handler(async (flow, { id }) => `${flow.id} ${id}`)] })
  await plugin.signal(job.id, "approved", { by: "Ada" }, { key: "once" })
  const record = await app.plugin<typeof plugin>("flow").get(job.id)
  same<NonNullable<typeof record>["steps"][number]["key"], string>(true)
}

same<Stored<[Date, { a?: bigint }]>, [string, { a?: never }]>(true)
same<Stored<unknown>, unknown>(true)

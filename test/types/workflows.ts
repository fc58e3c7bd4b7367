// A wrong mapping does not compile. Never run: `tsc --noEmit` is the test.
import {
  condition,
  type Builder,
  defineJob,
  Millrace,
  workflow,
  workflows,
  type Ref,
  type Workflow,
  type WorkflowReference,
} from "millrace"
import { z } from "zod"

/** Compiles when both types are the same, not merely assignable. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(yes: Same<A, B>): boolean => yes

const charge = defineJob<{ order: string; cents: number; note?: string }, { id: string; fee?: number }>({
  name: "charge",
})
const refund = defineJob<{ charge: string }, void>({ name: "refund" })
const ship = defineJob({
  name: "ship",
  payload: z.object({ sku: z.string(), count: z.number().default(1) }),
  result: z.object({ parcel: z.string() }),
})
const mail = defineJob<{ to: string; parcels: { parcel: string }[] }, string>({ name: "mail" })
const tick = defineJob<undefined, number>({ name: "tick" })

const Order = z.object({
  id: z.string(),
  cents: z.coerce.number(),
  customer: z.object({ email: z.string(), phone: z.string().optional() }),
  lines: z.array(z.object({ sku: z.string(), count: z.number() })),
})

const order = workflow("order", Order, (w) => {
  same<typeof w.input, Ref<z.output<typeof Order>>>(true)
  const paid = w
    .step("charge", charge, { order: w.input.id, cents: w.input.cents, note: w.input.customer.phone })
    .undo(refund, (result) => ({ charge: result.id }))
  const shipped = w
    .map("ship", ship, w.input.lines, (line, index) => {
      same<typeof index, Ref<number>>(true)
      return { sku: line.sku, count: line.count }
    })
    .undo(refund, (result, line) => ({ charge: w.text`${result.parcel} of ${line.sku}` }))
  const mailed = w.step("mail", mail, { to: w.input.customer.email, parcels: shipped }, { after: [paid, "later"] })
  const ticked = w.step("later", tick)
  w.step("big", charge, { order: "x", cents: ticked }, { when: condition.gt(paid.result.fee, 5) })
  return { charge: paid.result.id, fee: paid.result.fee, mail: mailed, parcels: shipped.result, fixed: 1 }
})
type Result = { charge: string; fee: number | undefined; mail: string; parcels: { parcel: string }[]; fixed: number }
same<typeof order, Workflow<z.input<typeof Order>, Result>>(true)

const flows = workflows()
export const app = new Millrace({ dsn: "postgres://", logger: false, plugins: [flows] })

export async function pushed(): Promise<void> {
  const given = { id: "1", cents: "200", customer: { email: "a@b.c" }, lines: [] }
  const one = await flows.push(order, given)
  same<typeof one, WorkflowReference<Result>>(true)
  const result = await one.result({ timeout: "1m" })
  same<typeof result, Result>(true)
  const many = await flows.pushMany(order, [given])
  same<typeof many, WorkflowReference<Result>[]>(true)

  // @ts-expect-error a field is missing
  await flows.push(order, { id: "1" })
  // @ts-expect-error an option is misspelt
  await flows.push(order, given, { ids: "1" })
  // @ts-expect-error one id cannot be many workflows'
  await flows.pushMany(order, [given], { id: "1" })
}

workflow<{ n: number; text?: string }>("wrong", (w) => {
  const paid = w.step("charge", charge, { order: "1", cents: w.input.n })
  // @ts-expect-error a number where text is wanted
  w.step("a", charge, { order: w.input.n, cents: 1 })
  // @ts-expect-error a field is missing
  w.step("b", charge, { order: "1" })
  // @ts-expect-error what may be missing where something is wanted
  w.step("c", charge, { order: w.input.text, cents: 1 })
  // @ts-expect-error there is no such field in the result
  w.step("d", refund, { charge: paid.result.number })
  // @ts-expect-error a skipped step has no result for those that run in any case
  w.step("e", refund, { charge: paid.maybe.id })
  // @ts-expect-error a payload is wanted
  w.step("f", charge)
  const lenient = w.step("g", charge, { order: "1", cents: 1 }, { onFailure: "continue" })
  // @ts-expect-error a step that may have failed may have returned nothing
  w.step("h", refund, { charge: lenient.result.id })
  // @ts-expect-error an item has no such field
  w.map("i", ship, [{ sku: "x" }], (item) => ({ sku: item.name }))
  // @ts-expect-error there is no such policy
  w.step("j", refund, { charge: "1" }, { onFailure: "ignore" })
  // @ts-expect-error a number is compared with text
  condition.gt(paid.result.fee, "5")
  // @ts-expect-error the wrong input for a part
  w.run("k", order, { id: 1 })
  // @ts-expect-error an undo that wants something else
  paid.undo(refund, (result) => ({ charge: result.fee }))
  // @ts-expect-error a list of the wrong things
  w.step("l", mail, { to: "x", parcels: w.map("m", tick, [1], () => undefined) })
})

const unknownInput = workflow("none", (w) => w.step("tick", tick))
same<typeof unknownInput, Workflow<undefined, number>>(true)
const ends = workflow("ends", (w: Builder<{ n: number }>) => {
  w.step("tick", tick)
})
same<typeof ends, Workflow<{ n: number }, Record<string, unknown>>>(true)
const typed = workflow("typed", (w: Builder<{ n: number }>) =>
  w.step("charge", charge, { order: "1", cents: w.input.n }),
)
same<typeof typed, Workflow<{ n: number }, { id: string; fee?: number }>>(true)
export const none = () => flows.push(unknownInput)

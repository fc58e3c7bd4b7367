// What takes the shop more than one job: an order through the warehouse as a graph of steps, and a new customer's first
// days as a function that sleeps in between.
import { defineFlow, defineJob, workflow } from "millrace"
import { z } from "zod"

export const warehouse = defineJob({
  name: "warehouse",
  queue: "warehouse",
  payload: z.object({ order: z.int(), task: z.enum(["reserve", "pick", "pack", "label", "hand-over", "book"]) }),
  result: z.object({ seconds: z.number() }),
  maxAttempts: 3,
  backoff: { initial: "1s", max: "5s" },
})

export const dailyReport = defineJob({ name: "daily-report", queue: "mail", payload: z.object({ period: z.string() }) })

export const fulfilment = workflow("fulfilment", z.object({ order: z.int() }), (w) => {
  const order = w.input.order
  const reserved = w.step("reserve", warehouse, { order, task: "reserve" })
  const picked = w.step("pick", warehouse, { order, task: "pick" }, { after: [reserved] })
  const booked = w.step("book-parcel", warehouse, { order, task: "book" }, { after: [reserved] })
  const labelled = w.step("label", warehouse, { order, task: "label" }, { after: [booked] })
  const packed = w.step("pack", warehouse, { order, task: "pack" }, { after: [picked] })
  w.step("hand-over", warehouse, { order, task: "hand-over" }, { after: [packed, labelled] })
})

export const welcome = defineFlow("welcome", async (flow, { customer }: { customer: string }) => {
  await flow.step("greet", () => `Hello ${customer}`)
  await flow.sleep("25s")
  const { yes } = await flow.waitFor<{ yes: boolean }>("confirmed", { timeout: "3d" })
  return yes
})

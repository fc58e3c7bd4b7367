// An order that takes days: paid once, approved by a person, shipped by another job, and none of it lost on the way.
import { defineFlow, defineJob, flows, Millrace } from "millrace"
import { Worker } from "millrace/worker"

const ship = defineJob<{ order: number }, { parcel: string }>({ name: "ship" })

const order = defineFlow("order", async (flow, { id }: { id: number }) => {
  // Runs once; what it returned is what every later run of this function gets.
  const payment = await flow.step("charge", (step) => {
    console.log(`charging order ${id}, attempt ${step.attempt}`)
    return { receipt: `r-${id}` }
  })
  // Days may pass here, workers come and go: the function is not in memory meanwhile.
  const { by } = await flow.waitFor<{ by: string }>("approved", { timeout: "3d" })
  const { parcel } = await flow.run(ship, { order: id })
  await flow.sleep("100ms")
  return `${payment.receipt}, approved by ${by}, parcel ${parcel}`
})

const runs = flows()
await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false, plugins: [runs] })
await app.migrate()

const handlers = [order, ship.handler((job) => ({ parcel: `p-${job.order}` }))]
const first = new Worker(app, { handlers })
await first.start()
const job = await app.push(order, { id: 7 })
while ((await runs.get(job.id))?.state !== "waiting") await new Promise((resolve) => setTimeout(resolve, 20))
await first.stop() // a deploy

await using second = new Worker(app, { handlers })
await second.start()
await runs.signal(job.id, "approved", { by: "Ada" })
console.log(await job.result())
for (const { key, kind, status } of (await runs.get(job.id))!.steps) console.log(`${key}: ${kind}, ${status}`)

// Customers of the shop: jobs of all kinds keep coming, as long as somebody may be looking.
import { setTimeout as sleep } from "node:timers/promises"
import type { Millrace } from "millrace"
import type { DemoPlugins } from "./plugins.ts"
import { dailyReport, fulfilment, welcome } from "./shop-flows.ts"
import { callWebhook, chargeCard, importFeed, printLabel, resizeImage, sendMail } from "./shop-jobs.ts"

const names = ["Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Margaret", "Tony", "Radia", "Ken"]
const one = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)]!
const number = (from: number, to: number): number => from + Math.floor(Math.random() * (to - from))

function customer(): { id: number; name: string; email: string } {
  const id = number(1, 400)
  const name = one(names)
  return {
    id,
    name,
    email: id % 41 === 0 ? `${name.toLowerCase()}.example` : `${name.toLowerCase()}${id}@shop.example`,
  }
}

let order = 1_000

/** One customer's order, with all that follows from it. */
async function placeOrder(app: Millrace, { orders }: DemoPlugins): Promise<void> {
  const who = customer()
  const id = ++order
  const amount = Math.round(Math.random() ** 3 * 100_000) / 100
  await app.push(
    chargeCard,
    { order: id, customer: who, amount, currency: "EUR" },
    { tags: [`customer:${who.id}`], priority: amount > 500 ? 5 : 0 },
  )
  await app.push(sendMail, { template: "order-confirmed", customer: who }, { tags: [`customer:${who.id}`] })
  const host = id % 17 === 0 ? "slow" : id % 23 === 0 ? "gone" : "hooks"
  await app.push(callWebhook, { url: `https://${host}.example/orders`, event: "order.placed", order: id })
  if (id % 6 === 0) await app.push(sendMail, { template: "rate-us", customer: who }, { runAt: `in ${number(1, 90)}m` })
  if (id % 8 === 1) await orders.push(fulfilment, { order: id })
  if (id % 30 === 1) await app.push(welcome, { customer: who.name })
  if (id % 40 === 0) await app.push(printLabel, { order: id })
}

const suppliers = ["Nordlicht", "Umbra", "Halcyon", "Quill & Co"]

async function plan({ schedules }: DemoPlugins): Promise<void> {
  await schedules.schedule(
    dailyReport,
    { period: "day" },
    { key: "daily-report", cron: "30 2 * * *", zone: "Europe/Berlin" },
  )
  await schedules.schedule(dailyReport, { period: "minute" }, { key: "minute-report", cron: "* * * * *", zone: "UTC" })
}

/** Until the signal fires. */
export async function traffic(app: Millrace, plugins: DemoPlugins, stop: AbortSignal): Promise<void> {
  await plan(plugins)
  for (let round = 1; !stop.aborted; round++) {
    await placeOrder(app, plugins)
    if (round % 3 === 0)
      await app.push(resizeImage, { url: `https://cdn.example/${order}.jpg`, widths: [320, 800, 1600] })
    if (round % 25 === 1) {
      const supplier = one(suppliers)
      await app.push(importFeed, { supplier, rows: number(300, 1_600) }, { uniqueKey: `feed:${supplier}` })
    }
    await sleep(number(150, 900), undefined, { signal: stop }).catch(() => {})
  }
}

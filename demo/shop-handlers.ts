// What the shop's jobs do: they take their time and fail like real ones, and touch nothing outside.
import { randomUUID } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { cancel, discard } from "millrace"
import { dailyReport, warehouse, welcome } from "./shop-flows.ts"
import { callWebhook, chargeCard, importFeed, resizeImage, sendMail } from "./shop-jobs.ts"

const about = (ms: number): number => ms * (0.5 + Math.random())
const sometimes = (share: number): boolean => Math.random() < share

class CardDeclined extends Error {
  override readonly name = "CardDeclined"
}

class SmtpError extends Error {
  override readonly name = "SmtpError"
}

function connectionReset(host: string): Error {
  return Object.assign(new Error(`read ECONNRESET (${host})`), { code: "ECONNRESET" })
}

export const shopHandlers = [
  warehouse.handler(async (_, job) => {
    const ms = about(1_600)
    await sleep(ms, undefined, { signal: job.signal })
    if (sometimes(0.06)) throw new Error("the conveyor has stopped")
    return { seconds: ms / 1_000 }
  }),

  dailyReport.handler(async (_, job) => sleep(about(800), undefined, { signal: job.signal })),

  welcome,

  sendMail.handler(async ({ template, customer }, job) => {
    await sleep(about(120), undefined, { signal: job.signal })
    if (!customer.email.includes("@")) return discard(new SmtpError(`550 mailbox ${customer.email} does not exist`))
    if (sometimes(0.05)) throw new SmtpError("421 too many connections, try again later")
    job.log("handed over", { template, to: customer.email })
    return undefined
  }),

  chargeCard.handler(async ({ amount, customer }, job) => {
    await sleep(about(350), undefined, { signal: job.signal })
    if (amount > 900) throw new CardDeclined(`card of customer ${customer.id} declined: limit exceeded`)
    if (sometimes(0.04)) throw connectionReset("api.payments.example")
    return { charge: `ch_${randomUUID().slice(0, 8)}` }
  }),

  resizeImage.handler(async ({ widths }, job) => {
    let bytes = 0
    for (const [index, width] of widths.entries()) {
      await sleep(about(400), undefined, { signal: job.signal })
      bytes += width * 210
      job.progress((index + 1) / widths.length)
    }
    return { bytes }
  }),

  importFeed.handler(async ({ supplier, rows }, job) => {
    job.log("opened the feed", { supplier, rows })
    let skipped = 0
    for (let done = 0; done < rows; done += 100) {
      await sleep(about(500), undefined, { signal: job.signal })
      if (sometimes(0.2)) {
        skipped += 1
        job.log.warn("skipped a row without a price", { row: done + 17 })
      }
      job.progress({ share: Math.min(1, (done + 100) / rows), rows: Math.min(rows, done + 100) })
    }
    if (supplier === "Umbra") throw new TypeError("Cannot read properties of undefined (reading 'price')")
    job.log("done", { skipped })
    return { imported: rows - skipped, skipped }
  }),

  callWebhook.handler(async ({ url }, job) => {
    await sleep(about(200), undefined, { signal: job.signal })
    if (url.includes("gone")) return cancel("410 Gone: the subscriber has left")
    if (url.includes("slow")) throw new Error(`504 from ${url} after 30 s`)
    return undefined
  }),
]

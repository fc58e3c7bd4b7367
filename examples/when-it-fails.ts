// Retries, policies per error, snoozing, cancelling, and several jobs in one call.
import { defineJob, discard, Millrace, retryAfter, snooze } from "millrace"
import { Worker } from "millrace/worker"

class RateLimited extends Error {
  readonly seconds = 0.05
}
class NoSuchCustomer extends Error {}

const call = defineJob<{ customer: string }, string>({
  name: "call",
  maxAttempts: 4,
  backoff: { initial: "20ms", max: "1s" }, // doubles each time, with full jitter
  onError: (error) => {
    if (error instanceof NoSuchCustomer) return discard(error) // no use in trying again
    if (error instanceof RateLimited) return retryAfter(error.seconds * 1_000, error)
    return undefined // a retry with backoff
  },
})
const report = defineJob<{ month: string }, string>({ name: "report" })
const index = defineJob<{ word: string }, number>({ name: "index" })
const slow = defineJob({ name: "slow" })

await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false })
await app.migrate()
let closed = false
const batches: number[] = []
await using worker = new Worker(app, {
  handlers: [
    call.handler(({ customer }, job) => {
      if (customer === "nobody") throw new NoSuchCustomer("no such customer")
      if (job.attempt < 3) throw new RateLimited("too many calls")
      return `reached ${customer} at attempt ${job.attempt}`
    }),
    // Not an error: the books are still open. Snoozing uses up no attempt.
    report.handler(({ month }, job) => (closed ? `report of ${month}, attempt ${job.attempt}` : snooze("30ms"))),
    index.batch({ size: 100 }, (jobs) => {
      batches.push(jobs.length)
      return jobs.map(({ payload }) => (payload.word === "" ? new Error("nothing to index") : payload.word.length))
    }),
    slow.handler(
      (_, job) =>
        new Promise((_resolve, reject) => job.signal.addEventListener("abort", () => reject(job.signal.reason))),
    ),
  ],
})
await worker.start()

const show = (promise: Promise<unknown>) =>
  promise.then(console.log, (error: Error) => console.log(error.message.replace(/Job \S+/, "Job …")))

await show((await app.push(call, { customer: "Ada" })).result({ timeout: "10s" }))
await show((await app.push(call, { customer: "nobody" })).result({ timeout: "10s" }))
const monthly = await app.push(report, { month: "May" })
await app.wait([monthly], { states: ["scheduled"], timeout: "10s" })
closed = true
await show(monthly.result({ timeout: "10s" }))
const indexed = await app.pushMany(
  index,
  ["a", "bc", "def"].map((word) => ({ word })),
)
await show(Promise.all(indexed.map((job) => job.result({ timeout: "10s" }))))
const endless = await app.push(slow)
await app.wait([endless], { states: ["running"], timeout: "10s" })
await endless.cancel("no longer needed")
await show(endless.result({ timeout: "10s" }))

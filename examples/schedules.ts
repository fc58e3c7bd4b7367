// Schedules made in code and at run time, what they would do when the clocks change, and a tick with its job.
import { cron, defineJob, defineSchedule, Millrace } from "millrace"
import { Worker } from "millrace/worker"

const digest = defineJob<{ period: string }>({ name: "digest" })
const beat = defineJob<string>({ name: "beat" })

const schedules = cron({
  schedules: [
    defineSchedule(digest, { period: "day" }, { key: "digest", cron: "30 2 * * 1-5", zone: "Europe/Berlin" }),
  ],
})
await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false, plugins: [schedules] })
await app.migrate()

const { description, runs } = await schedules.preview({
  cron: "30 2 * * *",
  zone: "Europe/Berlin",
  after: "2027-03-27T00:00:00Z",
  count: 3,
})
console.log(description)
for (const { local } of runs) console.log(local)

let heard!: (text: string) => void
const first = new Promise<string>((resolve) => (heard = resolve))
await using worker = new Worker(app, {
  handlers: [
    digest.handler(() => {}),
    beat.handler((text, job) => heard(`${text}, of schedule ${(job.meta.schedule as { key: string }).key}`)),
  ],
})
await worker.start()
await schedules.schedule(beat, "a beat", { key: "heart", every: "1s" })
console.log(await first)
console.log((await schedules.list()).map(({ key, owner }) => `${key}: ${owner ?? "made at run time"}`))
await schedules.unschedule(["heart", "digest"])

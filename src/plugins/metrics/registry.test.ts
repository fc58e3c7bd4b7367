import { expect, test } from "vitest"
import { familyOf } from "./exposed.ts"
import { Registry } from "./registry.ts"

test("the same name and labels are the same metric, in whatever order the labels come", () => {
  const registry = new Registry(() => {})
  registry.meter.counter("mail.sent", { a: "1", b: "2" }).add()
  registry.meter.counter("mail.sent", { b: "2", a: "1" }).add(2)
  expect(registry.take()).toMatchObject([{ name: "mail.sent", labels: { a: "1", b: "2" }, total: 3 }])
  expect(registry.take()).toEqual([])
})

test("what is not a number that can be counted is ignored", () => {
  const own = new Registry(() => {})
  for (const wrong of [-1, 0, Number.NaN, Infinity]) own.meter.counter("a").add(wrong)
  for (const wrong of [Number.NaN, Infinity]) own.meter.histogram("b").record(wrong)
  for (const wrong of [Number.NaN, -Infinity]) own.meter.gauge("c").set(wrong)
  expect(own.take()).toEqual([])
})

test("labels that turn out to be ids fill neither memory nor tables", () => {
  const told: string[] = []
  const registry = new Registry((metric) => told.push(metric))
  for (let id = 0; id < 5_000; id++) registry.meter.counter("seen", { id: String(id) }).add()
  for (let id = 0; id < 10; id++) registry.builtIn("jobs.recovered", { queue: String(id) }).add()
  registry.builtIn("worker.up", {}).set(1)
  const points = registry.take()
  expect(points.length).toBeLessThanOrEqual(2_003)
  expect(points.reduce((sum, { total, name }) => sum + (name === "seen" ? total : 0), 0)).toBe(5_000)
  // Whether anybody measures at all stands in this one.
  expect(points.find(({ name }) => name === "worker.up")).toMatchObject({ labels: {}, last: 1 })
  expect(new Set(told)).toEqual(new Set(["seen", "jobs.recovered"]))
})

test("scrapers see base units, and a suffix for the kind", () => {
  expect(familyOf("jobs.wait", "histogram")).toBe("millrace_jobs_wait_seconds")
  expect(familyOf("jobs.ended", "counter")).toBe("millrace_jobs_ended_total")
  expect(familyOf("db.table_bytes", "gauge")).toBe("millrace_db_table_bytes")
  expect(familyOf("db.notification_queue", "gauge")).toBe("millrace_db_notification_queue_ratio")
  expect(familyOf("queue.oldest", "gauge")).toBe("millrace_queue_oldest_seconds")
  expect(familyOf("mail.total", "counter")).toBe("millrace_mail_total")
})

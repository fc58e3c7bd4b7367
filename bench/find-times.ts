// The searches of the find scenario: one for each thing that people look for, common and rare.
import { age, Millrace, type JobFilter, type Rule } from "millrace"

const filters: Readonly<Record<string, JobFilter | Rule>> = {
  everything: {},
  "state failed": { state: "failed" },
  "state cancelled": { state: "cancelled" },
  "state pending": { state: "pending" },
  "state running (none)": { state: "running" },
  queue: { queue: "queue-3" },
  "queue, rare": { queue: "rare-queue" },
  name: { name: "name-3" },
  "name, 1 in 5,000": { name: "seldom-name" },
  "name, 10 finished": { name: "rare-name" },
  "name, 10 waiting": { name: "rare-waiting" },
  "name, none": { name: "no-such-name" },
  "unique key, finished": { uniqueKey: "key-1003" },
  "unique key, waiting": { uniqueKey: "waiting-1003" },
  "tag, 1 in 140": { tags: ["tag-5"] },
  "tag, one finished": { tags: ["customer-100005"] },
  "tag, one waiting": { tags: ["waiting-1005"] },
  worker: { worker: "worker-3" },
  "worker, 3 jobs": { worker: "rare-worker" },
  "finished, an old hour": { finishedAt: { after: "300h ago", before: "299h ago" } },
  "created, an old hour": { createdAt: { after: "300h ago", before: "299h ago" } },
  "older than 20 days": age.gt("20d"),
  "failed, by name": { state: "failed", name: "name-0" },
  "failed, by payload": { state: "failed", payload: { "customer.id": 400 } },
  "failed, by error text": { state: "failed", error: "card 4000 was" },
}

/** Each search by name; the ids are those of the data. */
export async function searches(url: string): Promise<[string, () => Promise<unknown>][]> {
  const app = new Millrace({ dsn: url, logger: false, maxConnections: 2 })
  const [one] = (await app.find({ name: "rare-name" })).jobs
  const all = { ...filters, id: { id: one!.id } }
  return Object.entries(all).map(([name, filter]) => [name, () => app.find(filter)])
}

import { stock } from "./shop.ts"
import { seed, type Site } from "./site.ts"

/** Fills the site, so that every page has something on it. */
export async function fill(site: Site): Promise<{ pages: readonly string[]; failed: string }> {
  const seeded = await seed(site)
  const stocked = await stock(site)
  await furnish(site)
  return { pages: [...pagesOf(seeded), ...stocked], failed: seeded.failed }
}

/** Pages of every installation. */
const pagesOf = ({ failed, waiting }: { failed: string; waiting: string }): readonly string[] => [
  "/",
  "/jobs",
  "/jobs?q=state%3Afailed",
  "/jobs?q=nothing%20matches%20this",
  `/jobs?panel=${failed}`,
  `/jobs/${failed}`,
  `/jobs/${waiting}`,
  "/errors",
  "/queues",
  "/queues/billing",
  "/queues/labels",
  "/workflows",
  "/flows",
  "/schedules",
  "/workers",
  "/workers/worker-1",
  "/audit",
  "/settings",
  "/no-such-page",
]

/** What needs a plugin, and without it shows how to switch it on. */
export const pluginPages = [
  "/errors",
  "/workflows",
  "/flows",
  "/schedules",
  "/metrics",
  "/alerts",
  "/database",
] as const

/** Something in every list: a view, a token, an entry of the audit, a queue that is paused. */
async function furnish({ url }: Site): Promise<void> {
  const post = async (path: string, body: unknown) => {
    const { status } = await fetch(new URL(`api/v1${path}`, url), {
      method: "POST",
      headers: { "content-type": "application/json", origin: new URL(url).origin, "sec-fetch-site": "same-origin" },
      body: JSON.stringify(body),
    })
    if (status >= 300) throw new Error(`${path} was answered with ${status}`)
  }
  await post("/views", { name: "Everything that failed", query: "state:failed" })
  await post("/tokens", { name: "a program", scopes: ["jobs:read"], expiresIn: "1h" })
  await post("/marks", { text: "release 1.4.2" })
  await post("/marks", { text: "the card service moved", at: new Date(Date.now() - 20 * 60_000).toISOString() })
  await post("/queues/quick/pause", { until: "in 1h" })
}

import type { Site } from "./site.ts"

/** Every page there is, with something on it. */
export const pagesOf = ({ failed, waiting }: { failed: string; waiting: string }): readonly string[] => [
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
  "/metrics",
  "/alerts",
  "/database",
  "/audit",
  "/settings",
  "/no-such-page",
]

/** Something in every list: a view, a token, an entry of the audit. */
export async function furnish({ url }: Site): Promise<void> {
  const post = (path: string, body: unknown) =>
    fetch(new URL(`api/v1${path}`, url), {
      method: "POST",
      headers: { "content-type": "application/json", origin: new URL(url).origin, "sec-fetch-site": "same-origin" },
      body: JSON.stringify(body),
    })
  await post("/views", { name: "Everything that failed", query: "state:failed" })
  await post("/tokens", { name: "a program", scopes: ["jobs:read"], expiresIn: "1h" })
  await post("/queues/quick/pause", { until: "in 1h" })
}

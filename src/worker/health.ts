import type { PluginHealth, WorkerHealth } from "../model/health.ts"

/** What a worker's health is made of. */
export type HealthFacts = Omit<WorkerHealth, "healthy" | "ready" | "reasons">

const degraded = (plugin: PluginHealth): boolean => plugin.state === "degraded"

export function healthOf(facts: HealthFacts): WorkerHealth {
  const reasons = Array.from(reasonsOf(facts))
  const healthy = facts.state === "running" && !facts.plugins.some(degraded)
  return { healthy, ready: reasons.length === 0, reasons, ...facts }
}

/**
 * Why no work should be expected of it. Missing notifications, a lost listener or a degraded plugin are no reasons: the
 * worker works on, by polling, without it.
 */
function* reasonsOf({ state, heartbeat, database }: HealthFacts): Generator<string> {
  if (state !== "running") yield `the worker is ${state}`
  else if (!heartbeat.alive) yield "the worker's lease is not known to hold; it registers anew"
  if (!database.reachable) yield `the database could not be reached${database.error ? `: ${database.error}` : ""}`
  const { schema, neededSchema } = database
  if (schema !== undefined && schema < neededSchema)
    yield `the tables are at version ${schema}, this release needs ${neededSchema}: run \`millrace migrate\``
}

import { isMillraceError } from "../../model/errors.ts"
import type { AppContext, PluginContext, PluginRoute } from "../../model/plugin.ts"
import { databaseHealth } from "../../postgres/database-health.ts"
import { prometheusText, prometheusType } from "./prometheus.ts"
import { queryMetrics, type MetricsQuery } from "./query.ts"
import type { Series } from "./series.ts"
import { takeSnapshot } from "./snapshot.ts"

/** What dashboards and scrapers ask for. All of it only reads. */

const permission = "metrics:read"

/** @param seriesOf the series of one worker. */
export function routesOf(seriesOf: (worker: string) => Iterable<Series>): readonly PluginRoute[] {
  const get = (path: string, handle: PluginRoute["handle"]): PluginRoute => ({
    method: "GET",
    path,
    permission,
    handle,
  })
  const queues = shared((ctx) => takeSnapshot(ctx))
  const database = shared((ctx) => databaseHealth(ctx.db, ctx.names))
  return [
    get("/query", async ({ url }, ctx) =>
      answered(async () => Response.json(await queryMetrics(ctx, queryOf(new URL(url).searchParams)))),
    ),
    get("/queues", async (_, ctx) => Response.json(await queues(ctx))),
    get("/database", async (_, ctx) => Response.json(await database(ctx))),
    get("/prometheus", (_, ctx) => prometheus(ctx, seriesOf(ctx.worker.id))),
  ]
}

function prometheus({ worker, leader }: PluginContext, series: Iterable<Series>): Response {
  const text = prometheusText(series, { worker: worker.id, leads: String(leader.leads) })
  return new Response(text, { headers: { "content-type": prometheusType } })
}

/** Bad questions are the asker's fault. */
async function answered(run: () => Promise<Response>): Promise<Response> {
  try {
    return await run()
  } catch (error) {
    if (!isMillraceError(error) || !/_(OPTION|DURATION)$/.test(error.code)) throw error
    return Response.json({ error: { code: error.code, message: error.message } }, { status: 400 })
  }
}

const moments = ["from", "to"]

/** `/query?prefix=jobs&queue=mail&resolution=5m&from=2030-01-01T00:00:00Z&by=queue,outcome&label.outcome=failed`; moments also in ms. */
export function queryOf(params: URLSearchParams): MetricsQuery {
  const query: Record<string, unknown> = {}
  const labels: Record<string, string> = {}
  for (const [name, text] of params) {
    if (text === "") continue
    if (name.startsWith("label.")) labels[name.slice("label.".length)] = text
    else if (name === "outcome") labels["outcome"] = text
    else if (moments.includes(name)) query[name] = new Date(/^\d+$/.test(text) ? Number(text) : text)
    else if (name === "bands") query[name] = text === "true" ? true : text
    else query[name] = name === "by" ? text.split(",") : text
  }
  return { ...query, labels }
}

/** One look for everybody who asks while it is under way, or right after: many open dashboards cost what one does. */
function shared<T>(look: (app: AppContext) => Promise<T>): (app: AppContext) => Promise<T> {
  const fresh = 1_000
  const latest = new WeakMap<AppContext["db"], { readonly at: number; readonly found: Promise<T> }>()
  return (app) => {
    const known = latest.get(app.db)
    if (known && app.clock.monotonic() - known.at < fresh) return known.found
    const found = look(app)
    latest.set(app.db, { at: app.clock.monotonic(), found })
    found.catch(() => latest.delete(app.db))
    return found
  }
}

import { duration, integer, parseOptions, text, type OptionsInput } from "../../lib/options.ts"
import type { Plugin, PluginContext } from "../../model/plugin.ts"
import { takeBackClaims } from "../../postgres/recovery.ts"

/*
 * Takes the claims of lost workers back. The statement locks the dead worker's row, skips locked jobs, and names the
 * token again in its update, so any number of workers may do this at once: every worker does, and no leader is needed.
 */

export const recoveryOptions = {
  /** Name on the worker. */
  name: text({ default: "recovery", doc: "Name on the worker." }),
  /** How often it looks. */
  every: duration({ default: "10s", min: 50, max: 3_600_000, doc: "How often it looks." }),
  /** A job that was lost with its worker so many times fails. Default: the worker's `maxCrashes`. */
  maxCrashes: integer({
    default: 3,
    min: 1,
    max: 1_000_000,
    doc: "A job that was lost with its worker so many times fails.",
  }),
}

export type RecoveryOptions = OptionsInput<typeof recoveryOptions>

const hints = {
  poll_interval: "every",
  rescue_after: "The worker's `lease` says when a worker is lost.",
  interval: "every",
}

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function recovery(given?: RecoveryOptions): Plugin {
  const { name, every, maxCrashes } = parseOptions("recovery", recoveryOptions, given, hints)
  return {
    name,
    async run(ctx) {
      do await takeBack(ctx, maxCrashes)
      while (await ctx.sleep(every))
    },
  }
}

async function takeBack(ctx: PluginContext, maxCrashes: number): Promise<void> {
  const { db, names, hub, log, wakeQueue, worker } = ctx
  const rows = await takeBackClaims(db, names, maxCrashes)
  if (rows.length === 0) return
  for (const queue of new Set(rows.map((row) => row.queue))) wakeQueue(queue)
  const failed = rows.filter((row) => row.state === "failed").length
  const workers = [...new Set(rows.map((row) => row.worker ?? ""))]
  log.warn("claims of lost workers were taken back", { jobs: rows.length, failed, workers })
  for (const { id, queue, state } of rows) hub.emit("job.recovered", { id, queue, state, by: worker.id })
  hub.emit("recovery.recovered", { jobs: rows.length, failed, workers })
}

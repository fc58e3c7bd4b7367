import { milliseconds, type Duration } from "../../lib/duration.ts"
import { describe } from "../../lib/error.ts"
import { duration, integer, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import type { Plugin, PluginContext } from "../../model/plugin.ts"
import { all, any, compare, isRule, type Rule } from "../../model/rule.ts"
import { dropExpiredPartitions } from "../../postgres/history.ts"
import { cleanLogs } from "../../postgres/logs.ts"
import { pruneByRule, pruneKeys } from "../../postgres/prune.ts"

/*
 * Removes what nobody needs any more. Each finished job stays as long as its retention says (24 hours unless its
 * definition or its push said otherwise): when a day's jobs have all served their time, their partition is dropped whole.
 * A rule makes finished jobs go earlier. Unfinished jobs stand in another table, which nothing here touches.
 */

export const prunerOptions = {
  /** Name on the worker; several pruners with different rules need different names. */
  name: text({
    default: "pruner",
    doc: "Name on the worker; several pruners with different rules need different names.",
  }),
  /** Finished jobs that go before their retention is over. Default: none. */
  rule: value<Rule>({
    type: "rule",
    doc: "Finished jobs that go before their retention is over. Default: none.",
    check: (given) => (isRule(given) ? undefined : 'must be a rule, such as finishedAge.gt("1h")'),
  }),
  /** How long finished jobs of a queue are kept at most: `{ mail: "1h" }`. */
  queues: value<Readonly<Record<string, Duration>>>({
    type: "{ queue: duration }",
    doc: 'How long finished jobs of a queue are kept at most: `{ mail: "1h" }`.',
    check: (given) =>
      typeof given === "object" && given !== null && !Array.isArray(given) ? undefined : 'must be { queue: "1h" }',
  }),
  /** How often it looks. */
  every: duration({ default: "60s", min: 50, max: 86_400_000, doc: "How often it looks." }),
  /** Jobs per statement. */
  batch: integer({ default: 10_000, min: 1, max: 100_000, doc: "Jobs per statement." }),
}

export type PrunerOptions = OptionsInput<typeof prunerOptions>

const hints = {
  poll_interval: "every",
  interval: "every",
  maximum_jobs_to_prune: "batch",
  limit: "batch",
  max_age: 'Retention belongs to jobs: `retention` of a definition or a push; or rule: finishedAge.gt("1h").',
}

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function pruner(given?: PrunerOptions): Plugin {
  const { name, rule: own, queues, every, batch } = parseOptions("pruner", prunerOptions, given, hints)
  const rules = [...(own ? [own] : []), ...Object.entries(queues ?? {}).map(([queue, age]) => olderIn(queue, age))]
  const rule = rules.length > 0 ? any(...rules) : undefined
  return {
    name,
    scope: "leader",
    async run(ctx, signal) {
      do await prune(ctx, signal, rule, batch)
      while (await ctx.sleep(every))
    },
  }
}

function olderIn(queue: string, age: Duration): Rule {
  const ms = milliseconds(age, `pruner.queues.${queue}`)
  return all(compare("queue", "eq", queue), compare("finishedAge", "gt", `${ms}ms`))
}

async function prune(ctx: PluginContext, signal: AbortSignal, rule: Rule | undefined, batch: number): Promise<void> {
  const { db, names, hub, log } = ctx
  const partitions = await dropExpiredPartitions(db, names)
  let jobs = 0
  if (rule) {
    for (let some = batch; some === batch && !signal.aborted;) {
      some = await pruneByRule(db, names, rule, batch)
      jobs += some
    }
  }
  let cleaned = 0
  for (let looked = logsAtOnce; looked === logsAtOnce && !signal.aborted;) {
    const lines = await cleanLogs(db, names, logsAtOnce)
    looked = lines.looked
    cleaned += lines.removed
  }
  cleaned += await pruneKeys(db, names)
  cleaned += await cleanUp(ctx)
  if (partitions.length === 0 && jobs === 0 && cleaned === 0) return
  hub.emit("pruner.removed", { jobs, partitions, cleaned })
  log.info("finished jobs were pruned", { jobs, partitions, cleaned })
}

const logsAtOnce = 500

/** Asks every plugin to remove what it does not need; one that throws does not keep the others from it. */
async function cleanUp(ctx: PluginContext): Promise<number> {
  let removed = 0
  for (const plugin of ctx.plugins) {
    if (!plugin.cleanup) continue
    try {
      removed += (await plugin.cleanup(ctx)) ?? 0
    } catch (error) {
      ctx.log.error(`plugin "${plugin.name}": cleanup threw`, { error: describe(error) })
    }
  }
  return removed
}

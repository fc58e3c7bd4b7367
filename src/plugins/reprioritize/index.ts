import { duration, integer, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import type { Plugin } from "../../model/plugin.ts"
import { isRule, type Rule } from "../../model/rule.ts"
import { raisePriorities } from "../../postgres/ageing.ts"

/*
 * Ageing: what has waited long enough gains priority, step by step up to a ceiling, so that a flood of urgent jobs does
 * not keep the others waiting for ever. Each job is raised once per interval: the time of its last step stands with it
 * and is compared in the update itself, so that a second leader, or a run right after a change of leaders, does nothing.
 */

export const reprioritizeOptions = {
  /** Name on the worker; several with different rules need different names, and raise independently. */
  name: text({
    default: "reprioritize",
    doc: "Name on the worker; several with different rules need different names, and raise independently.",
  }),
  /** Which waiting jobs, such as `age.gt("10m")`. */
  rule: value<Rule>({
    type: "rule",
    required: true,
    doc: 'Which waiting jobs, such as `age.gt("10m")`.',
    check: (given) => (isRule(given) ? undefined : 'must be a rule, such as age.gt("10m")'),
  }),
  /** Priority that a job gains per interval. */
  by: integer({ default: 1, min: 1, max: 1_000_000, doc: "Priority that a job gains per interval." }),
  /** No job is raised above this priority. */
  ceiling: integer({ default: 100, min: -1_000_000, max: 1_000_000, doc: "No job is raised above this priority." }),
  /** How often. */
  every: duration({ default: "5m", min: 50, max: 86_400_000, doc: "How often." }),
  /** Jobs per statement. */
  batch: integer({ default: 1_000, min: 1, max: 100_000, doc: "Jobs per statement." }),
}

export type ReprioritizeOptions = OptionsInput<typeof reprioritizeOptions>

const hints = {
  poll_interval: "every",
  interval: "every",
  check_interval: "every",
  amount: "by",
  priority_increase: "by",
  max: "ceiling",
}

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function reprioritize(given: ReprioritizeOptions): Plugin {
  const { name, rule, by, ceiling, every, batch } = parseOptions("reprioritize", reprioritizeOptions, given, hints)
  return {
    name,
    scope: "leader",
    async run(ctx, signal) {
      do {
        for (let raised = batch; raised === batch && !signal.aborted;) {
          raised = await raisePriorities(ctx.db, ctx.names, { key: `aged:${name}`, rule, by, ceiling, every, batch })
        }
      } while (await ctx.sleep(every))
    },
  }
}

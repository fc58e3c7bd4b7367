import { describe } from "../../lib/error.ts"
import { isMillraceError } from "../../model/errors.ts"
import type { PluginContext } from "../../model/plugin.ts"
import { problemsOf } from "./checks.ts"
import type { AlertChannel } from "./channel.ts"
import { deliver } from "./deliver.ts"
import { activeRules, apply, endRule, noteError, type AlertEvent, type Changes } from "./events.ts"
import type { Problem, Rule } from "./rules.ts"

/*
 * One look at everything, on the leader. Rules are looked at outside of a transaction, each for itself, so that one that
 * fails takes no other along. What they found is written in a transaction that commits only while this worker leads, with
 * the jobs that tell of it: neither a new leader nor a restart loses a notification or sends it twice.
 */

export class Rounds {
  readonly #rules: readonly Rule[]
  readonly #channels: readonly AlertChannel[]
  /** Why rules could not be looked at. */
  readonly #errors = new Map<string, string>()

  constructor(rules: readonly Rule[], channels: readonly AlertChannel[]) {
    this.#rules = rules
    this.#channels = channels
  }

  async once(ctx: PluginContext): Promise<void> {
    const active = await activeRules(ctx.db, ctx.names)
    const found = new Map<Rule, readonly Problem[]>()
    for (const rule of this.#rules) {
      const problems = await this.#look(rule, ctx)
      // Undefined: nobody knows. What fires goes on firing.
      if (problems && (problems.length > 0 || active.has(rule.name))) found.set(rule, problems)
    }
    const gone = [...active].filter((name) => !this.#rules.some((rule) => rule.name === name))
    if (found.size > 0 || gone.length > 0) await this.#write(ctx, found, gone)
  }

  async #look(rule: Rule, ctx: PluginContext): Promise<readonly Problem[] | undefined> {
    try {
      const problems = await problemsOf(rule, ctx)
      await this.#noted(ctx, rule.name, undefined)
      return problems
    } catch (error) {
      ctx.log.error(`the alert rule "${rule.name}" could not be looked at`, { error: describe(error) })
      await this.#noted(ctx, rule.name, describe(error))
      return undefined
    }
  }

  async #noted({ db, names }: PluginContext, rule: string, error: string | undefined): Promise<void> {
    if (this.#errors.get(rule) === error) return
    await noteError(db, names, rule, error ?? null)
    if (error === undefined) this.#errors.delete(rule)
    else this.#errors.set(rule, error)
  }

  async #write(ctx: PluginContext, found: ReadonlyMap<Rule, readonly Problem[]>, gone: readonly string[]) {
    const changes: Changes[] = []
    try {
      await ctx.asLeader(async (tx) => {
        for (const rule of gone) await endRule(tx, ctx.names, rule)
        for (const [rule, problems] of found) {
          const change = await apply(tx, ctx.names, rule, problems)
          changes.push(change)
          const payloads = change.told.flatMap((event) => this.#payloads(ctx, rule, event))
          if (payloads.length > 0) await ctx.client.pushMany(deliver, payloads, { tx })
        }
      })
    } catch (error) {
      if (isMillraceError(error, "MILLRACE_NOT_LEADER")) return // its successor looks for itself
      throw error
    }
    for (const { fired, resolved } of changes) {
      for (const event of fired) tell(ctx, "alert.firing", event)
      for (const event of resolved) tell(ctx, "alert.resolved", event)
    }
  }

  #payloads({ config }: PluginContext, rule: Rule, event: AlertEvent) {
    const kind = event.state === "resolved" ? ("resolved" as const) : ("firing" as const)
    const names = rule.channels ?? this.#channels.map((channel) => channel.name)
    return names.map((channel) => ({ channel, notification: { kind, event, schema: config.schema } }))
  }
}

function tell({ hub }: PluginContext, name: string, event: AlertEvent): void {
  const { id, rule, subject, severity, value, text } = event
  hub.emit(name, { id, rule, subject: subject.slice(0, 500), severity, value, text }, { cluster: true })
}

import { duration, list, parseOptions, value, type OptionsInput } from "../../lib/options.ts"
import { failure } from "../../model/errors.ts"
import { parseMoment } from "../../model/job-options.ts"
import { badPlugin, type AppContext, type PluginContext } from "../../model/plugin.ts"
import type { AlertChannel } from "./channel.ts"
import { Counts } from "./counts.ts"
import { deliveryHandler } from "./deliver.ts"
import { acknowledge, forget, listEvents, silence, storedRules } from "./events.ts"
import { migrations, tables } from "./migrations.ts"
import { Rounds } from "./round.ts"
import { acknowledgeOptions, eventOptions, silenceOptions, type Alerts, type RuleStatus } from "./contract.ts"
import { routesOf } from "./routes.ts"
import { defaultRules, parseRules, type AlertRule, type Rule } from "./rules.ts"

/*
 * Tells people that something is wrong. The leader looks at the rules; every worker counts how its jobs end, says which of
 * its plugins keep failing, and delivers notifications.
 */

const isChannel = (given: unknown): string | undefined => {
  const { name, send } = (given ?? {}) as Partial<AlertChannel>
  return typeof name === "string" && typeof send === "function"
    ? undefined
    : "must be a channel: webhook(…), email(…), or an object with name and send(notification, delivery)"
}

export const alertsOptions = {
  /** What is looked at. Default: backlogs, failures, queues without workers, missed schedules and plugins that keep failing. */
  rules: list(value<AlertRule>({ type: "rule", doc: "A rule." }), {
    doc: "What is looked at. Default: backlogs, failures, queues without workers, missed schedules and plugins that keep failing.",
  }),
  /** Who is told, beside the hub. */
  channels: list(value<AlertChannel>({ type: "channel", doc: "A channel.", check: isChannel }), {
    default: [],
    doc: "Who is told, beside the hub.",
  }),
  /** How often the leader looks. */
  every: duration({ default: "15s", min: 50, max: 3_600_000, doc: "How often the leader looks." }),
  /** How long events are kept after they are over. */
  keep: duration({ default: "30d", min: 60_000, doc: "How long events are kept after they are over." }),
}

export type AlertsOptions = OptionsInput<typeof alertsOptions>

export type { Alerts, RuleStatus } from "./contract.ts"
export type { AlertChannel, Delivery, Notification } from "./channel.ts"
export { email, type EmailOptions, type MailTransport } from "./email.ts"
export type { AlertEvent, AlertState, EventPage } from "./events.ts"
export { defaultRules, type AlertRule, type Problem } from "./rules.ts"
export { webhook, type WebhookOptions } from "./webhook.ts"

const hints = { interval: "every", webhooks: "channels", recipients: "channels" }

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function alerts(given?: AlertsOptions): Alerts {
  const options = parseOptions("alerts", alertsOptions, given, hints)
  const { channels, every, keep } = options
  const names = channels.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw failure("MILLRACE_BAD_OPTION", `alerts.channels: two are called "${twice}".`)
  const rules = parseRules(options.rules ?? defaultRules, names)
  const counts = rules.some(({ kind }) => kind === "failures") ? new Counts() : undefined
  const rounds = new Rounds(rules, channels)
  let app: AppContext | undefined
  const attached = (): AppContext => {
    if (!app) throw badPlugin("alerts() belongs to an app: new Millrace({ plugins: [alerts()] }).")
    return app
  }
  const plugin: Alerts = {
    name: "alerts",
    tables,
    migrations,
    handlers: [deliveryHandler(channels)],
    routes: routesOf(() => plugin),
    attach: (to) => void (app = to),
    ...(counts && { saved: (batch) => counts.add(batch) }),
    async run(ctx) {
      const remove = hearDegraded(ctx)
      try {
        do {
          await counts?.flush(ctx.db, ctx.names)
          if (ctx.leader.leads) await rounds.once(ctx)
        } while (await ctx.sleep(every))
      } finally {
        remove()
        await counts?.flush(ctx.db, ctx.names)
      }
    },
    cleanup: (ctx) => forget(ctx.db, ctx.names, keep),
    rules: async () => statuses(attached(), rules, names),
    events: async (filter) =>
      listEvents(attached().db, attached().names, parseOptions("alerts.events", eventOptions, filter)),
    async acknowledge(id, given) {
      const { by, note } = parseOptions("alerts.acknowledge", acknowledgeOptions, given)
      return acknowledge(attached().db, attached().names, id, by, note)
    },
    async silence(name, given) {
      const { until, by } = parseOptions("alerts.silence", silenceOptions, given)
      const rule = rules.find((one) => one.name === name)
      if (!rule) throw failure("MILLRACE_UNKNOWN_ALERT", `There is no alert rule ${JSON.stringify(name)}.`)
      const moment = until === null ? null : parseMoment(until, "alerts.silence.until")
      await silence(attached().db, attached().names, name, moment, by)
      return (await statuses(attached(), [rule], names))[0]!
    },
  }
  return plugin
}

async function statuses(app: AppContext, rules: readonly Rule[], channels: readonly string[]): Promise<RuleStatus[]> {
  const wanted = rules.map(({ name }) => name)
  const stored = await storedRules(app.db, app.names, wanted)
  return rules.map((rule) => {
    const { name, kind, severity } = rule
    return { ...stored.get(name)!, kind, severity, channels: rule.channels ?? channels }
  })
}

/** From so many crashes in a row on, a plugin is degraded. */
const degradedFrom = 5

/** Writes down which plugins of this worker keep failing, where the leader sees it. Returns its remover. */
function hearDegraded({ hub, worker, db, table }: PluginContext): () => void {
  return hub.on("plugin.crashed", async ({ body, remote }) => {
    if (remote || body.worker !== worker.id || body.crashes < degradedFrom) return
    await db.query(
      `insert into ${table("alert_signals")} (worker, plugin, error) values ($1, $2, $3)
       on conflict (worker, plugin) do update set error = excluded.error, seen_at = now()`,
      [worker.id, body.plugin, body.error.slice(0, 500)],
    )
  })
}

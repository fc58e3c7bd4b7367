import { integer, oneOf, text, value, type OptionsInput } from "../../lib/options.ts"
import type { Plugin } from "../../model/plugin.ts"
import { eventStates, type AlertEvent, type EventPage, type StoredRule } from "./events.ts"
import type { RuleKind, Severity } from "./rules.ts"

export const eventOptions = {
  /** Only these. Default: all. */
  state: oneOf(eventStates, { doc: "Only these. Default: all." }),
  /** Only those of this rule. */
  rule: text({ doc: "Only those of this rule." }),
  /** Most events of a page. */
  limit: integer({ default: 50, min: 1, max: 500, doc: "Most events of a page." }),
  /** Of the page before. */
  cursor: text({ doc: "Of the page before." }),
}

export type EventOptions = OptionsInput<typeof eventOptions>

export const acknowledgeOptions = {
  /** Who does. */
  by: text({ doc: "Who does." }),
  /** What to remember. */
  note: text({ doc: "What to remember." }),
}

export type AcknowledgeOptions = OptionsInput<typeof acknowledgeOptions>

export const silenceOptions = {
  /** A Date, or `"in 2h"`; null ends the silence. */
  until: value<Date | string | null>({
    type: "Date | text | null",
    required: true,
    doc: 'A Date, or `"in 2h"`; null ends the silence.',
  }),
  /** Who does. */
  by: text({ doc: "Who does." }),
}

export type SilenceOptions = OptionsInput<typeof silenceOptions>

/** A rule and how it is. */
export interface RuleStatus extends StoredRule {
  readonly kind: RuleKind
  readonly severity: Severity
  readonly channels: readonly string[]
}

/** Alerts; on the app as `app.plugin<Alerts>("alerts")`. */
export interface Alerts extends Plugin {
  rules(): Promise<RuleStatus[]>
  /** Events, the newest first. @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_CURSOR. */
  events(options?: EventOptions): Promise<EventPage>
  /** Somebody knows: it is not repeated. @throws MILLRACE_UNKNOWN_ALERT. */
  acknowledge(id: string, options?: AcknowledgeOptions): Promise<AlertEvent>
  /**
   * Channels hear nothing new of a rule until then. What still fires at that time is told then; that something they heard of
   * is over is told at once.
   *
   * @throws MILLRACE_UNKNOWN_ALERT for a rule that does not exist, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION.
   */
  silence(rule: string, options: SilenceOptions): Promise<RuleStatus>
}

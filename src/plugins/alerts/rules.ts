import { checkGlob, compileGlob } from "../../lib/glob.ts"
import {
  boolean,
  duration,
  integer,
  list,
  oneOf,
  parseOptions,
  text,
  value,
  type OptionsInput,
  type OptionsOutput,
} from "../../lib/options.ts"
import { failure } from "../../model/errors.ts"
import type { PluginContext } from "../../model/plugin.ts"

/** Something that is wrong now. */
export interface Problem {
  /** What it is about: a queue, a schedule, a plugin. One event per rule and subject. */
  readonly subject: string
  /** One sentence. */
  readonly text: string
  /** What was measured. */
  readonly value?: number | undefined
}

export type Check = (ctx: PluginContext) => Promise<readonly Problem[]> | readonly Problem[]

export const severities = ["info", "warning", "critical"] as const
export type Severity = (typeof severities)[number]

const globs = (doc: string) =>
  list(
    value<string>({
      type: "glob",
      doc: "A glob.",
      check: (given) => (typeof given === "string" ? checkGlob(given) : "must be text"),
    }),
    { default: ["*"], min: 1, doc },
  )

export const commonRule = {
  /** Unique, at most 128 characters: silences and events know the rule by it. */
  name: text({
    required: true,
    pattern: /^\S(.{0,126}\S)?$/,
    expects: "a name of at most 128 characters",
    doc: "Unique, at most 128 characters: silences and events know the rule by it.",
  }),
  /** What it looks at. */
  kind: text({ required: true, doc: "What it looks at." }),
  /** How long it must be so before it fires. */
  for: duration({ default: "0ms", max: 604_800_000, doc: "How long it must be so before it fires." }),
  severity: oneOf(severities, { default: "warning", doc: "Goes along with each notification." }),
  /** Names of channels that are told. Default: all. */
  channels: list(text({ doc: "A channel's name." }), { doc: "Names of channels that are told. Default: all." }),
  /** Told again so often while it fires and nobody has acknowledged it. Default: never. */
  repeat: duration({
    min: 1_000,
    doc: "Told again so often while it fires and nobody has acknowledged it. Default: never.",
  }),
}

export const backlogRule = {
  ...commonRule,
  /** Queues. Paused ones are left out. */
  queues: globs("Queues. Paused ones are left out."),
  /** How long the oldest ready job may wait. */
  above: duration({ required: true, doc: "How long the oldest ready job may wait." }),
}

export const failuresRule = {
  ...commonRule,
  /** Queues, each for itself. */
  queues: globs("Queues, each for itself."),
  /** Names of jobs that are counted. */
  names: globs("Names of jobs that are counted."),
  /** Percentage of failures that is still fine. */
  above: integer({ required: true, max: 99, doc: "Percentage of failures that is still fine." }),
  /** How far it looks back. */
  within: duration({ default: "10m", min: 60_000, max: 86_400_000, doc: "How far it looks back." }),
  /** Fewer ends than that say nothing. */
  atLeast: integer({ default: 20, min: 1, doc: "Fewer ends than that say nothing." }),
  /** What is counted: jobs that have ended, or every attempt. */
  of: oneOf(["jobs", "attempts"], { default: "jobs", doc: "What is counted: jobs that have ended, or every attempt." }),
}

export const noWorkerRule = {
  ...commonRule,
  /** Queues. Paused ones are left out. */
  queues: globs("Queues. Paused ones are left out."),
  /** Whether queues without ready jobs count as well. */
  idle: boolean({ default: false, doc: "Whether queues without ready jobs count as well." }),
}

export const missedScheduleRule = {
  ...commonRule,
  /** How late a run may be. */
  above: duration({ default: "5m", doc: "How late a run may be." }),
}

export const customRule = {
  ...commonRule,
  /** Finds what is wrong; on the leader. */
  check: value<Check>({
    type: "(ctx) => problems",
    required: true,
    doc: "Finds what is wrong; on the leader.",
    check: (given) => (typeof given === "function" ? undefined : "must be a function"),
  }),
  /** How long it may take. */
  timeout: duration({ default: "30s", min: 1, max: 600_000, doc: "How long it may take." }),
}

const specs = {
  backlog: backlogRule,
  failures: failuresRule,
  "no-worker": noWorkerRule,
  "missed-schedule": missedScheduleRule,
  "degraded-plugin": commonRule,
  error: commonRule,
  custom: customRule,
} as const

export type RuleKind = keyof typeof specs
type Given<Kind extends RuleKind> = Omit<OptionsInput<(typeof specs)[Kind]>, "kind"> & { readonly kind: Kind }

/** A rule, as it is written. */
export type AlertRule = { [Kind in RuleKind]: Given<Kind> }[RuleKind]

type Of<Kind extends RuleKind> = Omit<OptionsOutput<(typeof specs)[Kind]>, "kind"> & { readonly kind: Kind }

/** A rule, as it is read: durations in milliseconds. */
export type Rule = { [Kind in RuleKind]: Of<Kind> }[RuleKind]
export type RuleOf<Kind extends RuleKind> = Extract<Rule, { kind: Kind }>

/** What most installations want to know. */
export const defaultRules: readonly AlertRule[] = [
  { name: "backlog", kind: "backlog", above: "10m" },
  { name: "failures", kind: "failures", above: 25, severity: "critical" },
  { name: "no worker", kind: "no-worker", for: "1m", severity: "critical" },
  { name: "missed schedule", kind: "missed-schedule" },
  { name: "degraded plugin", kind: "degraded-plugin" },
]

const hints = { threshold: "above", over: "above", window: "within", queue: "queues", every: "repeat" }

/** @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_DURATION. */
export function parseRules(given: readonly AlertRule[], channels: readonly string[]): Rule[] {
  const rules = given.map((rule, index) => {
    const spec = specs[rule?.kind]
    if (!spec) {
      const known = Object.keys(specs).join(", ")
      throw failure("MILLRACE_BAD_OPTION", `alerts.rules[${index}].kind: known are ${known}.`)
    }
    return parseOptions(`alerts.rules[${index}]`, spec, rule, hints) as Rule
  })
  for (const { name, channels: wanted } of rules) {
    if (rules.filter((rule) => rule.name === name).length > 1)
      throw failure("MILLRACE_BAD_OPTION", `alerts.rules: two rules are called ${JSON.stringify(name)}.`)
    const unknown = wanted?.find((channel) => !channels.includes(channel))
    if (unknown !== undefined) {
      const known = channels.length > 0 ? `known are ${channels.join(", ")}` : "there are none"
      throw failure("MILLRACE_BAD_OPTION", `alerts.rules: ${name} names the channel "${unknown}"; ${known}.`)
    }
  }
  return rules
}

const storable = (text: string): string => text.replaceAll(/[\0\p{Cs}]/gu, "\ufffd")

const mostProblems = 1_000

/** What a check has found, so that it can be stored whatever it is. @throws when it is no list. */
export function cleaned(found: readonly Problem[]): Problem[] {
  if (!Array.isArray(found)) throw new TypeError("check(ctx) must return a list of { subject, text, value }")
  return (found as readonly Problem[]).slice(0, mostProblems).map(({ subject, text: what, value: measured }) => ({
    subject: storable(String(subject)).slice(0, 500),
    text: storable(String(what)).slice(0, 1_000),
    value: Number.isFinite(measured) ? measured : undefined,
  }))
}

/** Whether any of the globs fits. */
export function anyOf(patterns: readonly string[]): (text: string) => boolean {
  const compiled = patterns.map(compileGlob)
  return (given) => compiled.some((fits) => fits(given))
}

import { list, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import { milliseconds, type Duration } from "../../lib/duration.ts"
import { badPlugin, type Plugin } from "../../model/plugin.ts"
import { discard, isDirective, retryAfter, snooze } from "../../model/outcome.ts"
import { isRule, type Rule } from "../../model/rule.ts"
import { matchesRunning, requireRunning } from "../../model/rule-match.ts"
import type { RunningJob } from "../../model/running-job.ts"

/*
 * What becomes of failed attempts, by rule and by error, in one place for many definitions. The first policy that fits
 * decides; a handler that said itself what is to happen (snooze, retryAfter, discard, cancel) is left alone.
 */

/** A class of errors, or an error's `name` or `code`. */
export type ErrorMatch = (abstract new (...args: never[]) => Error) | string

export interface RetryPolicy {
  /** Which errors; one of these. Default: all. */
  readonly errors?: readonly ErrorMatch[]
  /** Which jobs: id, queue, name, attempts, crashes, tags, payload, meta, error. Default: all. */
  readonly rule?: Rule
  /** What happens: never again, again after a while, or again after a while without using up an attempt. */
  readonly outcome: "discard" | { readonly retryAfter: Duration } | { readonly snooze: Duration }
}

export const retryOptions = {
  /** Name on the worker. */
  name: text({ default: "retry", doc: "Name on the worker." }),
  /** The first that fits decides. */
  policies: list(value<RetryPolicy>({ type: "{ errors, rule, outcome }", doc: "A policy." }), {
    min: 1,
    required: true,
    doc: "The first that fits decides.",
  }),
}

export type RetryOptions = OptionsInput<typeof retryOptions>

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_PLUGIN, MILLRACE_BAD_RULE, MILLRACE_BAD_DURATION. */
export function retryPolicies(given: RetryOptions): Plugin {
  const { name, policies } = parseOptions("retryPolicies", retryOptions, given, {
    backoff: "Backoff belongs to definitions.",
  })
  const checked = policies.map((policy, index) => check(policy, `${name}.policies[${index}]`))
  return {
    name,
    finished(job, report) {
      if (report.ok || report.final || isDirective(report.error) || report.policy) return undefined
      const policy = checked.find((one) => fits(one, job, report.error))
      return policy && { ok: false, error: outcomeOf(policy, report.error) }
    },
  }
}

interface Checked extends Required<Pick<RetryPolicy, "outcome">> {
  readonly errors: readonly ErrorMatch[] | undefined
  readonly rule: Rule | undefined
}

function check({ errors, rule, outcome, ...rest }: RetryPolicy, where: string): Checked {
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined)
    throw badPlugin(`${where}: there is no option "${unknown}"; a policy is { errors, rule, outcome }.`)
  if (
    errors !== undefined &&
    !(Array.isArray(errors) && errors.every((one) => typeof one === "string" || typeof one === "function"))
  )
    throw badPlugin(`${where}.errors is a list of error classes, names or codes.`)
  if (rule !== undefined) {
    if (!isRule(rule)) throw badPlugin(`${where}.rule must be a rule, such as jobName.eq("mail").`)
    requireRunning(rule)
  }
  if (outcome !== "discard") delayOf(outcome, where)
  return { errors, rule, outcome }
}

function delayOf(outcome: Exclude<RetryPolicy["outcome"], "discard">, where: string): number {
  const [kind, ...more] = Object.keys(outcome ?? {})
  if (more.length > 0 || (kind !== "retryAfter" && kind !== "snooze"))
    throw badPlugin(`${where}.outcome is "discard", { retryAfter: "1m" } or { snooze: "1m" }.`)
  return milliseconds((outcome as Record<string, Duration>)[kind]!, `${where}.outcome.${kind}`)
}

function fits({ errors, rule }: Checked, job: RunningJob, error: unknown): boolean {
  if (errors && !errors.some((match) => matchesError(match, error))) return false
  return !rule || matchesRunning(rule, job, error)
}

function matchesError(match: ErrorMatch, error: unknown): boolean {
  if (typeof match === "function") return error instanceof match
  const { name, code } = (typeof error === "object" && error !== null ? error : {}) as {
    name?: unknown
    code?: unknown
  }
  return name === match || code === match
}

function outcomeOf({ outcome }: Checked, error: unknown): unknown {
  if (outcome === "discard") return discard(error)
  return "snooze" in outcome ? snooze(outcome.snooze) : retryAfter(outcome.retryAfter, error)
}

import { duration, integer, oneOf, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import { preparePush, type AnyDefinition } from "../../model/definition.ts"
import { failure } from "../../model/errors.ts"
import { pushOptions, type PushOptions } from "../../model/job-options.ts"
import { textArray } from "../../postgres/sql.ts"
import { isCondition } from "./conditions.ts"
import { failurePolicies, type Condition, type JobPlan, type Template } from "./node.ts"

const onFailure = oneOf(failurePolicies, {
  doc: "When it has failed for good: `fail` the workflow (default), `skip` what needs it, `continue` as if it had returned nothing, or fail and `compensate`: undo what was done.",
})

const order = {
  /** Steps (or names of steps, also of later ones) that it waits for, beside those whose results it reads. */
  after: value<unknown>({
    type: "step | name | list",
    doc: "Steps (or names of steps, also of later ones) that it waits for, beside those whose results it reads.",
  }),
  /** It is skipped, with what needs it, unless this holds. */
  when: value<Condition>({
    type: "condition",
    doc: "It is skipped, with what needs it, unless this holds.",
    check: (given) => (isCondition(given) ? undefined : "must be made by condition.…"),
  }),
}

const { queue, priority, maxAttempts, backoff, timeout, retention, tags, meta, delay } = pushOptions
const ofJob = { queue, priority, maxAttempts, backoff, timeout, retention, tags, meta, delay }

export const stepOptions = { ...order, onFailure, ...ofJob }

export const mapOptions = {
  ...stepOptions,
  /** Items that are under way at a time. */
  window: integer({ default: 1_000, min: 1, max: 100_000, doc: "Items that are under way at a time." }),
  /** A longer list fails the step. */
  maxItems: integer({ default: 100_000, min: 1, max: 1_000_000, doc: "A longer list fails the step." }),
}

export const groupOptions = order

export const waitOptions = {
  ...order,
  onFailure,
  /** Name of the signal. Default: that of the step. */
  signal: text({ doc: "Name of the signal. Default: that of the step." }),
  /** How long it waits; then it has failed. Default for ever. */
  timeout: duration({ doc: "How long it waits; then it has failed. Default for ever." }),
}

export const workflowOptions = {
  /** What its steps do that do not say otherwise. */
  onFailure: oneOf(failurePolicies, { default: "fail", doc: "What its steps do that do not say otherwise." }),
  /** How long it is kept after it has finished. */
  retention: value<string | number>({
    type: 'duration | "forever"',
    default: "1d",
    doc: "How long it is kept after it has finished.",
  }),
}

const hints = {
  dependencies: "after",
  deps: "after",
  needs: "after",
  condition: "when",
  if: "when",
  retries: "maxAttempts",
  concurrency: "window",
}

export type StepOptions = OptionsInput<typeof stepOptions>
export type MapOptions = OptionsInput<typeof mapOptions>
export type GroupOptions = OptionsInput<typeof groupOptions>
export type WaitForOptions = OptionsInput<typeof waitOptions>
export type WorkflowOptions = OptionsInput<typeof workflowOptions>

export const parse = <S extends Parameters<typeof parseOptions>[1]>(where: string, spec: S, given: unknown) =>
  parseOptions(where, spec, given, hints)

/**
 * The job that a step becomes. Its unique key is left out: a step has a job of its own, or it could wait for a stranger's.
 * A record is kept for a minute at least, since its end is what the workflow hears.
 */
export function jobPlan(
  definition: AnyDefinition,
  payload: Template,
  given: Readonly<Record<string, unknown>>,
): JobPlan {
  const chosen = Object.entries(given).filter(([name, one]) => name in ofJob && one !== undefined)
  const options = chosen.length > 0 ? (Object.fromEntries(chosen) as PushOptions) : undefined
  const plain = definition && {
    ...definition,
    payloadSchema: undefined,
    defaults: definition.defaults && {
      ...definition.defaults,
      uniqueKey: undefined,
      debounce: undefined,
      throttle: undefined,
      limitKey: undefined,
    },
  }
  const made = preparePush(plain, options, { maxPayload: Infinity })(null)
  const kind = JSON.parse((made as { kind: string }).kind) as Record<string, unknown>
  for (const kept of ["keep_s", "keep_failed_s"]) {
    const seconds = kind[kept] as number | undefined
    if (seconds !== undefined && seconds >= 0) kind[kept] = Math.max(60, seconds)
  }
  const limitKey = definition.defaults.limitKey
  if (typeof limitKey === "function") throw codeKey(definition.name)
  if (limitKey !== undefined) kind["limit_path"] = limitKey.split(".")
  if (kind["tags"]) kind["tags"] = textArray(kind["tags"] as string[])
  return { definition, kind, payload }
}

const codeKey = (name: string) =>
  failure(
    "MILLRACE_BAD_KEY",
    `The limitKey of "${name}" is code, which the database cannot run when it starts a step: give its place in the payload, such as limitKey: "customer.id".`,
  )

import { boolean, oneOf, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import { errorRecord } from "../../model/errors.ts"
import { fingerprintOf } from "../../model/fingerprint.ts"
import { badPlugin, type Plugin } from "../../model/plugin.ts"
import { isDirective } from "../../model/outcome.ts"
import type { RunningJob } from "../../model/running-job.ts"

/*
 * Tells Sentry what went wrong, with the job that it went wrong in. Each run has a scope of its own, so what a handler adds
 * to it (breadcrumbs, tags) stays with its job. The payload is told only when asked for: it may hold what must not leave.
 */

/** What of a Sentry scope is used. */
export interface SentryScope {
  setTag(key: string, value: string): unknown
  setContext(key: string, context: Record<string, unknown>): unknown
  setFingerprint(fingerprint: string[]): unknown
}

/** What of `@sentry/node` is used: the module itself fits. */
export interface SentryLike {
  withIsolationScope<T>(run: (scope: SentryScope) => T): T
  captureException(error: unknown): string
}

export const sentryOptions = {
  /** Name on the worker. */
  name: text({ default: "sentry", doc: "Name on the worker." }),
  /** The module: `import * as Sentry from "@sentry/node"`, initialised by you. */
  sentry: value<SentryLike>({
    type: "module",
    required: true,
    doc: 'The module: `import * as Sentry from "@sentry/node"`, initialised by you.',
    check: (given) =>
      typeof (given as SentryLike | undefined)?.withIsolationScope === "function"
        ? undefined
        : "must be the module @sentry/node (8 or newer)",
  }),
  /** Whether failures that will be retried are told as well, or only the last. */
  retries: boolean({ default: true, doc: "Whether failures that will be retried are told as well, or only the last." }),
  /** Who says which events are one issue: Sentry, or the fingerprint that `errorGroups` counts by. */
  grouping: oneOf(["sentry", "millrace"], {
    default: "sentry",
    doc: "Who says which events are one issue: Sentry, or the fingerprint that `errorGroups` counts by.",
  }),
  /** Whether the payload goes along. */
  payload: boolean({ default: false, doc: "Whether the payload goes along." }),
}

export type SentryOptions = OptionsInput<typeof sentryOptions>

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION. */
export function sentry(given: SentryOptions): Plugin {
  const options = parseOptions("sentry", sentryOptions, given, {
    dsn: "Initialise Sentry yourself: Sentry.init({ dsn }).",
  })
  const { sentry: module } = options
  if (typeof module.captureException !== "function") throw badPlugin("sentry.sentry must be the module @sentry/node.")
  return {
    name: options.name,
    around: (job, next) =>
      module.withIsolationScope(async (scope) => {
        describe(scope, job, options.payload)
        const report = await next()
        const told = !report.ok && !isDirective(report.error) && !job.signal.aborted
        if (told && (options.retries || job.attempt >= job.maxAttempts)) {
          mark(scope, report.error, options.grouping)
          module.captureException(report.error)
        }
        return report
      }),
  }
}

/** The fingerprint leads from an event to its group, and back: both look at the error alone. */
function mark(scope: SentryScope, error: unknown, grouping: "sentry" | "millrace"): void {
  const { fingerprint } = fingerprintOf(errorRecord(error, 0))
  scope.setTag("millrace.error", fingerprint)
  if (grouping === "millrace") scope.setFingerprint([fingerprint])
}

function describe(scope: SentryScope, job: RunningJob, withPayload: boolean): void {
  scope.setTag("millrace.job", job.name)
  scope.setTag("millrace.queue", job.queue)
  const { id, name, queue, attempt, maxAttempts, crashes, claims, tags } = job
  const payload = withPayload ? { payload: (job as { payload?: unknown }).payload } : {}
  scope.setContext("job", { id, name, queue, attempt, maxAttempts, crashes, claims, tags, ...payload })
}

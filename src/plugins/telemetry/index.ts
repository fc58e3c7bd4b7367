import { list, oneOf, boolean, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import type { Plugin } from "../../model/plugin.ts"
import type { OpenTelemetryLike } from "./api.ts"
import { Recorder } from "./recorder.ts"

/*
 * Traces and metrics by OpenTelemetry. The trace of a push travels in the job's meta and is taken up by its runs, however
 * much later and wherever they are. Whoever makes a job for another one (a schedule, a workflow, a retry) keeps the meta,
 * and so the trace.
 */

export type { OpenTelemetryLike } from "./api.ts"

const operations = ["push", "claim", "run", "settle"] as const

const isApi = (given: unknown): string | undefined => {
  const api = given as Partial<OpenTelemetryLike> | undefined
  const parts = [api?.trace?.getTracer, api?.metrics?.getMeter, api?.propagation?.inject, api?.context?.with]
  return parts.every((part) => typeof part === "function") ? undefined : "must be the module @opentelemetry/api"
}

export const telemetryOptions = {
  /** Name on the worker. */
  name: text({ default: "telemetry", doc: "Name on the worker." }),
  /** The module: `import * as api from "@opentelemetry/api"`. The SDK is registered by you, before the first push. */
  api: value<OpenTelemetryLike>({
    type: "module",
    required: true,
    doc: 'The module: `import * as api from "@opentelemetry/api"`. The SDK is registered by you, before the first push.',
    check: isApi,
  }),
  /** Which spans are made. */
  spans: list(oneOf(operations, { doc: "An operation." }), { default: operations, doc: "Which spans are made." }),
  /** Whether instruments are recorded. */
  metrics: boolean({ default: true, doc: "Whether instruments are recorded." }),
  /** `child`: a run belongs to the trace of its push. `link`: it has a trace of its own, with a link. */
  relation: oneOf(["child", "link"], {
    default: "child",
    doc: "`child`: a run belongs to the trace of its push. `link`: it has a trace of its own, with a link.",
  }),
  /** Key of the jobs' meta that the trace travels in. */
  metaKey: text({ default: "trace", doc: "Key of the jobs' meta that the trace travels in." }),
}

export type TelemetryOptions = OptionsInput<typeof telemetryOptions>

const hints = {
  tracer: "Register a tracer provider; it is found through `api`.",
  meter: "Register a meter provider; it is found through `api`.",
  traces: "spans",
}

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION. */
export function telemetry(given: TelemetryOptions): Plugin {
  const options = parseOptions("telemetry", telemetryOptions, given, hints)
  const recorder = new Recorder(options)
  return {
    name: options.name,
    pushing: (job) => recorder.pushing(job),
    aroundPush: (call, next) => recorder.push(call, next),
    claimed: (claim) => recorder.claimed(claim),
    around: (job, next) => recorder.run(job, next),
    finished: (job, report) => recorder.finished(job, report),
    saved: (batch) => recorder.saved(batch),
  }
}

import { duration, integer, parseOptions, type OptionsInput } from "../../lib/options.ts"
import { failure } from "../../model/errors.ts"
import type { AppContext, Plugin } from "../../model/plugin.ts"
import { cancelFlow, resumeFlow, sendSignal, type ResumeOptions, type SignalOptions } from "./control.ts"
import { defaultLimits, limitsKey } from "./define.ts"
import { getFlow, listFlows, type FlowListOptions, type FlowPage, type FlowRecord } from "./records.ts"
import { flowRoutes } from "./routes.ts"
import { flowMigrations, flowTables } from "./schema.ts"
import { settling } from "./settling.ts"
import { cleanUp, sweep } from "./sweep.ts"

export { defineFlow } from "./define.ts"
export type { DefinedFlow, FlowDefinition, FlowFunction } from "./define.ts"
export type { ResumeOptions, SignalOptions } from "./control.ts"
export type { Flow, FlowJob, FlowPushOptions, StepOptions, StepRetry, StepRun, Stored, WaitForOptions } from "./flow.ts"
export type { FlowListOptions, FlowPage, FlowRecord, FlowState, FlowStepRecord, FlowSummary } from "./records.ts"

export const flowOptions = {
  /** How long a run's steps are kept after its end. */
  retention: duration({ default: "7d", doc: "How long a run's steps are kept after its end." }),
  /** Most steps of one run. */
  maxSteps: integer({ default: defaultLimits.maxSteps, min: 1, max: 1_000_000, doc: "Most steps of one run." }),
  /** Most bytes of JSON that one run may store. */
  maxBytes: integer({
    default: defaultLimits.maxBytes,
    min: 1_000,
    max: 1_000_000_000,
    doc: "Most bytes of JSON that one run may store.",
  }),
  /** How often the leader looks for flows that nobody woke. */
  sweep: duration({ default: "5s", min: 50, doc: "How often the leader looks for flows that nobody woke." }),
}

export type FlowOptions = OptionsInput<typeof flowOptions>

/** The plugin, and what can be done with runs. */
export interface FlowsPlugin extends Plugin {
  /** A run with its timeline; undefined when there is none, it has not begun, or its retention is over. */
  get(id: string): Promise<FlowRecord | undefined>
  /** Runs, newest first, a page at a time. @throws MILLRACE_BAD_OPTION, MILLRACE_BAD_CURSOR. */
  list(options?: FlowListOptions): Promise<FlowPage>
  /**
   * Sends a signal to a run that has been pushed, whether it waits for it already or will later.
   *
   * @throws MILLRACE_UNKNOWN_JOB, MILLRACE_JOB_FINISHED, MILLRACE_BAD_JSON, MILLRACE_PAYLOAD_TOO_LARGE.
   */
  signal(id: string, name: string, payload?: unknown, options?: SignalOptions): Promise<void>
  /** Cancels a run: at once when it waits, else by firing its signal. @throws MILLRACE_UNKNOWN_JOB. */
  cancel(id: string, reason?: string): Promise<"cancelled" | "requested" | "finished">
  /**
   * Runs a flow again that failed or was cancelled: stored steps stay, a failed last step is tried again; with `from`, this
   * step and those after it are run again.
   *
   * @throws MILLRACE_JOB_RUNNING when it has not ended, MILLRACE_UNKNOWN_JOB, MILLRACE_KEY_TAKEN, MILLRACE_BAD_OPTION.
   */
  resume(id: string, options?: ResumeOptions): Promise<void>
}

/** Durable functions: `defineFlow`. @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function flows(given?: FlowOptions): FlowsPlugin {
  const { retention, maxSteps, maxBytes, sweep: every } = parseOptions("flows", flowOptions, given)
  let attached: AppContext | undefined
  const app = () => attached ?? unattached()
  const plugin: FlowsPlugin & { readonly [limitsKey]: typeof defaultLimits } = {
    name: "flow",
    tables: flowTables,
    migrations: flowMigrations,
    routes: flowRoutes,
    [limitsKey]: { maxSteps, maxBytes },
    ...settling(app),
    attach(context) {
      attached = context
    },
    async run(ctx, signal) {
      while (await ctx.sleep(every)) if (ctx.leader.leads) await sweep(ctx, signal)
    },
    cleanup: (ctx) => cleanUp(ctx, retention),
    get: async (id) => getFlow(app(), id),
    list: async (options) => listFlows(app(), options),
    signal: async (id, name, payload, options) => sendSignal(app(), id, name, payload, options),
    cancel: async (id, reason) => cancelFlow(app(), id, reason),
    resume: async (id, options) => resumeFlow(app(), id, options),
  }
  return plugin
}

function unattached(): never {
  throw failure("MILLRACE_BAD_PLUGIN", "flows() belongs to no app yet: new Millrace({ plugins: [flows()] }).")
}

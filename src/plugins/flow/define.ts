import type { StandardSchemaV1 } from "@standard-schema/spec"
import { context as contextKey, type Context } from "../../client/context.ts"
import type { OptionsInput } from "../../lib/options.ts"
import { defineJob, type BatchedJob, type Handler, type JobDefinition } from "../../model/definition.ts"
import { failure } from "../../model/errors.ts"
import type { definitionOptions, UniqueKey } from "../../model/job-options.ts"
import type { Directive } from "../../model/outcome.ts"
import type { AnyDefinition, Pushable } from "../../model/pushable.ts"
import type { RunningJob } from "../../model/running-job.ts"
import { flowOf } from "./calls.ts"
import { Execution } from "./execution.ts"
import type { Flow } from "./flow.ts"
import { Ledger, type LedgerLimits } from "./ledger.ts"
import { begin, leaseLost, persist } from "./store.ts"

/** A flow's function. Between the calls of `flow` it must do the same every time it runs. */
export type FlowFunction<Payload, Returns> = (
  flow: Flow,
  payload: Payload,
) => Returns | Directive | Promise<Returns | Directive>

/** What a flow means, without its code: push it like a job, and give `handler(…)` to a worker. */
export interface FlowDefinition<in Input, out Payload, in out Returns, out Result = Returns> extends Pushable<
  Input,
  Result
> {
  handler(run: FlowFunction<Payload, Returns>): Handler
}

/** A flow with its code: push it like a job, and give itself to a worker: `new Worker(app, { handlers: [order] })`. */
export interface DefinedFlow<in Input, out Result> extends Pushable<Input, Result>, Handler {}

type Described = Omit<OptionsInput<typeof definitionOptions>, "payload" | "result" | "uniqueKey">

interface Plain<Payload> extends Described {
  readonly payload?: undefined
  readonly result?: undefined
  readonly uniqueKey?: (payload: Payload) => UniqueKey | undefined
}

interface WithSchema<P extends StandardSchemaV1, R extends StandardSchemaV1> extends Described {
  readonly payload: P
  readonly result?: R
  readonly uniqueKey?: (payload: StandardSchemaV1.InferInput<P>) => UniqueKey | undefined
}

type InputOf<S extends StandardSchemaV1> = StandardSchemaV1.InferInput<S>
type OutputOf<S extends StandardSchemaV1> = StandardSchemaV1.InferOutput<S>

/**
 * Defines a flow: a function whose steps are stored, so that it goes on where it was after a crash, a deploy, or a wait of
 * any length. It takes the options of `defineJob`, since each run is a job. Needs the plugin `flows()` on the app.
 *
 * @example
 * export const order = defineFlow("order", async (flow, { id }: { id: number }) => {
 *   const charge = await flow.step("charge", (run) => payments.charge(id, run.idempotencyKey))
 *   await flow.sleep("3d")
 *   return { charge }
 * })
 *
 * @throws what `defineJob` throws.
 */
export function defineFlow<Payload, Returns>(
  name: string | Plain<Payload>,
  run: FlowFunction<Payload, Returns>,
): DefinedFlow<Payload, Exclude<Awaited<Returns>, Directive>>
export function defineFlow<P extends StandardSchemaV1, R extends StandardSchemaV1 = StandardSchemaV1<unknown, unknown>>(
  options: WithSchema<P, R>,
  run: FlowFunction<OutputOf<P>, InputOf<R>>,
): DefinedFlow<InputOf<P>, OutputOf<R>>
/** Without the function: for code that only pushes. The worker's side then has `definition.handler(…)`. */
export function defineFlow<P extends StandardSchemaV1, R extends StandardSchemaV1 = StandardSchemaV1<unknown, unknown>>(
  options: WithSchema<P, R>,
): FlowDefinition<InputOf<P>, OutputOf<P>, InputOf<R>, OutputOf<R>>
export function defineFlow<Payload = unknown, Result = unknown>(
  name: string | Plain<Payload>,
): FlowDefinition<Payload, Payload, Result>
export function defineFlow(given: string | object, run?: FlowFunction<never, unknown>): never {
  const options = typeof given === "string" ? { name: given } : given
  // A flow that failed can be resumed for as long as its steps are kept.
  const definition = defineJob({ retention: { succeeded: "1d", failed: "7d" }, ...options } as never) as JobDefinition<
    unknown,
    never,
    unknown
  >
  const flow = { ...definition, [marked]: true }
  flow.handler = ((code: FlowFunction<never, unknown>) => handlerOf(flow, code)) as never
  Reflect.deleteProperty(flow, "batch")
  if (run !== undefined) Object.assign(flow, handlerOf(flow, run))
  return Object.freeze(flow) as never
}

const marked = Symbol.for("millrace.flow")

/** Whether a definition is a flow's. */
export const isFlow = (definition: object | undefined): boolean => definition !== undefined && marked in definition

function handlerOf(definition: AnyDefinition, run: FlowFunction<never, unknown>): Handler {
  if (typeof run !== "function") {
    throw failure("MILLRACE_BAD_OPTION", `The function of flow "${definition.name}" must be a function.`)
  }
  return {
    definition,
    batchSize: undefined,
    run: ([job]: readonly BatchedJob<never, never>[]) => execute(job!, run),
  }
}

/** Where a plugin keeps its limits, for flows that run on its app. */
export const limitsKey = Symbol.for("millrace.flow-limits")

export const defaultLimits: LedgerLimits = { maxSteps: 10_000, maxBytes: 10_000_000 }

async function execute(job: BatchedJob<never, never>, run: FlowFunction<never, unknown>): Promise<unknown> {
  const { db, names, hub, notices, plugins } = (job.app as unknown as Record<typeof contextKey, Context>)[contextKey]
  const plugin = plugins.find((one) => limitsKey in one) as { [limitsKey]?: LedgerLimits } | undefined
  const token = (job as { readonly token?: string }).token
  // In a thread or process the app is another one, without plugins; its worker has them.
  if (!plugin && token !== undefined) throw noPlugin(job)
  const begun = await persist(job.signal, () => begin(db, names, { ...idOf(job), token }))
  if (!begun) throw leaseLost(job.id)
  const events = { changed: () => execution.poke(), broken: (error: unknown) => execution.fail(error) }
  const ledger: Ledger = new Ledger(db, names, job, begun, plugin?.[limitsKey] ?? defaultLimits, events)
  const execution: Execution = new Execution(job, ledger, () => notices.arrive)
  return execution.run(() => run(flowOf(execution), job.payload), hub)
}

const idOf = ({ id, claims, name }: RunningJob<never>) => ({ id, claims, name })

const noPlugin = ({ name }: RunningJob<never>) =>
  failure(
    "MILLRACE_UNKNOWN_PLUGIN",
    `Flow "${name}" needs the plugin flows() on its app: new Millrace({ plugins: [flows()] }), then app.migrate().`,
  )

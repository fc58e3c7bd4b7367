import type { OpenTelemetryLike, SpanContext, TraceContext } from "./api.ts"

/*
 * How a trace travels with its job: what the propagator writes (`traceparent` and so on) stands in the job's meta, as plain
 * text by name, so that producers in other languages and SQL can write it too. Beside it stands the span of the attempt
 * before, for links between attempts; that is always the W3C form, whatever the propagator.
 */

export interface Carrier {
  readonly [field: string]: string
}

const previous = "previous"

/** The carrier in a job's meta; undefined when there is none, or something else stands there. */
export function carrierIn(meta: Readonly<Record<string, unknown>>, key: string): Carrier | undefined {
  const found = meta[key]
  if (typeof found !== "object" || found === null || Array.isArray(found)) return undefined
  return Object.values(found).every((one) => typeof one === "string") ? (found as Carrier) : undefined
}

/** Whether the key is free for a carrier: what a user keeps there is left alone. */
export const isFree = (meta: Readonly<Record<string, unknown>>, key: string): boolean =>
  meta[key] === undefined || carrierIn(meta, key) !== undefined

/** What the propagator writes of a context; undefined when it writes nothing. */
export function carried(api: OpenTelemetryLike, context: TraceContext): Carrier | undefined {
  const carrier: Record<string, string> = {}
  api.propagation.inject(context, carrier)
  return Object.keys(carrier).length > 0 ? carrier : undefined
}

/** The context that a carrier brought, apart from whatever is active now. */
export const received = (api: OpenTelemetryLike, carrier: Carrier | undefined): TraceContext =>
  carrier ? api.propagation.extract(api.ROOT_CONTEXT, carrier) : api.ROOT_CONTEXT

export const withPrevious = (carrier: Carrier | undefined, { traceId, spanId, traceFlags }: SpanContext): Carrier => ({
  ...carrier,
  [previous]: `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, "0")}`,
})

/** The span of the attempt before. */
export function previousIn(carrier: Carrier | undefined): SpanContext | undefined {
  const parts = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(carrier?.[previous] ?? "")
  if (!parts || /^0+$/.test(parts[1]!) || /^0+$/.test(parts[2]!)) return undefined
  return { traceId: parts[1]!, spanId: parts[2]!, traceFlags: Number.parseInt(parts[3]!, 16) }
}

/*
 * What is used of `@opentelemetry/api` (1.9 or newer): the module itself fits. Written down here so that programs without
 * OpenTelemetry need not have its types.
 */

export type Attributes = Record<string, string | number | boolean>

export interface SpanContext {
  readonly traceId: string
  readonly spanId: string
  readonly traceFlags: number
}

export interface SpanLink {
  readonly context: SpanContext
}

export interface Span {
  spanContext(): SpanContext
  isRecording(): boolean
  setAttributes(attributes: Attributes): unknown
  setStatus(status: { code: number; message?: string }): unknown
  recordException(error: unknown): void
  addLink(link: SpanLink): unknown
  end(endTime?: number): void
}

export interface TraceContext {
  getValue(key: symbol): unknown
  setValue(key: symbol, value: unknown): TraceContext
}

export interface SpanSettings {
  kind?: number
  attributes?: Attributes
  links?: SpanLink[]
  /** Milliseconds since 1970, with fractions. */
  startTime?: number
}

export interface Tracer {
  startSpan(name: string, settings?: SpanSettings, context?: TraceContext): Span
}

export interface Counter {
  add(value: number, attributes?: Attributes): void
}

export interface Histogram {
  record(value: number, attributes?: Attributes): void
}

interface InstrumentSettings {
  description?: string
  unit?: string
  advice?: { explicitBucketBoundaries?: number[] }
}

export interface Meter {
  createCounter(name: string, settings?: InstrumentSettings): Counter
  createHistogram(name: string, settings?: InstrumentSettings): Histogram
}

/** The module `@opentelemetry/api`. */
export interface OpenTelemetryLike {
  readonly ROOT_CONTEXT: TraceContext
  readonly SpanKind: { readonly PRODUCER: number; readonly CONSUMER: number; readonly CLIENT: number }
  readonly SpanStatusCode: { readonly ERROR: number }
  readonly context: {
    active(): TraceContext
    with<Returned>(context: TraceContext, run: () => Returned): Returned
  }
  readonly propagation: {
    inject(context: TraceContext, carrier: unknown): void
    extract(context: TraceContext, carrier: unknown): TraceContext
  }
  readonly trace: {
    getTracer(name: string): Tracer
    setSpan(context: TraceContext, span: never): TraceContext
    getSpanContext(context: TraceContext): SpanContext | undefined
  }
  readonly metrics: { getMeter(name: string): Meter }
}

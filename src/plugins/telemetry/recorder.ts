import { monotonic } from "../../lib/clock.ts"
import { errorRecord } from "../../model/errors.ts"
import { isDirective, type Report } from "../../model/outcome.ts"
import type { Claim, Ended, PushCall, PushedJob } from "../../model/plugin.ts"
import type { RunningJob } from "../../model/running-job.ts"
import type { JobState } from "../../model/state.ts"
import type { Attributes, OpenTelemetryLike, Span, SpanLink, Tracer, TraceContext } from "./api.ts"
import { carried, carrierIn, isFree, previousIn, received, withPrevious } from "./carrier.ts"
import { instruments, operationAttributes, type Instruments, type Operation } from "./instruments.ts"

/*
 * Spans of one job, in the trace of whoever pushed it:
 *
 *   your span ── push ── run (attempt 1) ── settle
 *                   └─── run (attempt 2) ── settle      with a link to attempt 1
 *   claim                                               a trace of its own, with links to the pushes of what it brought
 *
 * Nothing here holds a span open across an await but the two that wrap something (push, run). Settlements are told after
 * the fact, with the time that they began, so that one that never happens leaves nothing behind.
 */

export interface RecorderSettings {
  readonly api: OpenTelemetryLike
  readonly spans: readonly Operation[]
  readonly metrics: boolean
  readonly relation: "child" | "link"
  readonly metaKey: string
}

/** What is known of an attempt between its hooks. */
interface Attempt {
  readonly context: TraceContext
  /** Monotonic, ms; set once its outcome is on its way. */
  decidedAt: number | undefined
}

/** The push that is under way, in its own asynchronous context. */
interface Push {
  readonly span: Span
  readonly linked: Set<string>
}

const underWay = Symbol("millrace.push")

/** More links than that are dropped by the SDK anyhow. */
const mostLinks = 128

/** Kinds of jobs whose attributes are kept. */
const mostKnown = 1_000

const now = (): number => performance.timeOrigin + performance.now()

export class Recorder {
  readonly #settings: RecorderSettings
  readonly #attempts = new WeakMap<RunningJob, Attempt>()
  readonly #ofJobs = new Map<string, Attributes>()
  #instruments: Instruments | undefined

  constructor(settings: RecorderSettings) {
    this.#settings = settings
  }

  /** Around a push: its span is where the jobs' runs belong. */
  async push(call: PushCall, next: () => Promise<readonly string[]>): Promise<readonly string[]> {
    const { api } = this.#settings
    const attributes = { ...operationAttributes("push", call.queue), "millrace.job.name": call.name }
    const started = monotonic()
    const span = this.#makes("push") ? this.#start("push", call.name, api.SpanKind.PRODUCER, attributes) : undefined
    const context = span ? withSpan(api, api.context.active(), span) : api.context.active()
    const push: Push | undefined = span && { span, linked: new Set() }
    try {
      const ids = await api.context.with(push ? context.setValue(underWay, push) : context, next)
      span?.setAttributes(call.many ? { "messaging.batch.message_count": ids.length } : messageId(ids[0]))
      this.#pushed(call, ids.length, started)
      return ids
    } catch (error) {
      const type = this.#failed(span, error)
      this.#pushed(call, 0, started, type)
      throw error
    } finally {
      span?.end()
    }
  }

  #pushed({ queue }: PushCall, jobs: number, started: number, error?: string): void {
    const attributes = { ...operationAttributes("push", queue), ...errorType(error) }
    this.#record(({ operation, sent }) => {
      operation.record((monotonic() - started) / 1_000, attributes)
      if (jobs > 0) sent.add(jobs, attributes)
    })
  }

  /** A job about to be stored takes the trace along. */
  pushing(job: PushedJob): void {
    const { api, metaKey } = this.#settings
    if (!isFree(job.meta, metaKey)) return
    const before = carrierIn(job.meta, metaKey)
    const active = api.context.active()
    const push = active.getValue(underWay) as Push | undefined
    const created = push || !this.#makes("push") ? undefined : this.#create(job)
    const span = push?.span ?? created
    // Somebody else's trace was in the meta: the job that this one was made for, or whoever wrote it there.
    if (span && before) link(api, span, before, push?.linked)
    const carrier = carried(api, created ? withSpan(api, active, created) : active) ?? before
    created?.end()
    if (carrier) job.meta[metaKey] = carrier
  }

  /** A job that is pushed together with something else, such as a handler's success. */
  #create({ name, queue }: PushedJob): Span {
    const { api } = this.#settings
    const attributes = {
      ...operationAttributes("push", queue),
      "messaging.operation.type": "create",
      "millrace.job.name": name,
    }
    return this.#start("push", name, api.SpanKind.PRODUCER, attributes)
  }

  claimed({ queue, jobs, took }: Claim): void {
    if (jobs.length === 0) return
    const { api } = this.#settings
    const attributes = operationAttributes("claim", queue)
    this.#record(({ operation, consumed }) => {
      operation.record(took / 1_000, attributes)
      consumed.add(jobs.length, attributes)
    })
    if (!this.#makes("claim")) return
    const links = jobs.slice(0, mostLinks).flatMap((job) => this.#linkToPush(job))
    const span = this.#tracer.startSpan(
      `claim ${queue}`,
      {
        kind: api.SpanKind.CLIENT,
        attributes: { ...attributes, "messaging.batch.message_count": jobs.length },
        links,
        startTime: now() - took,
      },
      api.ROOT_CONTEXT,
    )
    span.end()
  }

  async run(job: RunningJob, next: () => Promise<Report>): Promise<Report> {
    const { api } = this.#settings
    const started = monotonic()
    const { span, context } = this.#startRun(job)
    this.#attempts.set(job, { context, decidedAt: undefined })
    let report: Report | undefined
    let type: string | undefined
    try {
      report = await (context === api.ROOT_CONTEXT ? next() : api.context.with(context, next))
      if (isFailure(job, report)) type = this.#failed(span, report.error)
      return report
    } catch (error) {
      type = this.#failed(span, error)
      throw error
    } finally {
      span?.end()
      const ms = monotonic() - started
      const attributes = this.#attributesOf(job)
      this.#record(({ process }) => process.record(ms / 1_000, type === undefined ? attributes : { ...attributes, ...errorType(type) })) // prettier-ignore
    }
  }

  #startRun(job: RunningJob): { span: Span | undefined; context: TraceContext } {
    const { api, relation, metaKey } = this.#settings
    const carrier = carrierIn(job.meta, metaKey)
    const context = received(api, carrier)
    if (!this.#makes("run")) return { span: undefined, context }
    const before = previousIn(carrier)
    const links = [...(before ? [{ context: before }] : []), ...(relation === "link" ? this.#linkToPush(job) : [])]
    const parent = relation === "link" ? api.ROOT_CONTEXT : context
    const settings = { kind: api.SpanKind.CONSUMER, attributes: this.#attributesOf(job), links }
    const span = this.#tracer.startSpan(`run ${job.name}`, settings, parent)
    if (span.isRecording()) span.setAttributes(runAttributes(job))
    return { span, context: withSpan(api, context, span) }
  }

  /** Says which attempt came before, for the next one; what succeeds has none, so its meta stays as it is. */
  finished(job: RunningJob, report: Report): undefined {
    const { api, metaKey } = this.#settings
    const attempt = this.#attempts.get(job)
    if (!attempt) return
    attempt.decidedAt = monotonic()
    if ((report.ok && !isDirective(report.value)) || !this.#makes("run")) return
    const span = api.trace.getSpanContext(attempt.context)
    if (span && isFree(job.meta, metaKey)) job.meta[metaKey] = withPrevious(carrierIn(job.meta, metaKey), span)
  }

  saved(batch: readonly Ended[]): void {
    const at = monotonic()
    const longest = new Map<string, number>() // by queue
    for (const ended of batch) {
      const attempt = this.#attempts.get(ended.job)
      if (attempt?.decidedAt === undefined) continue
      const ms = at - attempt.decidedAt
      longest.set(ended.job.queue, Math.max(longest.get(ended.job.queue) ?? 0, ms))
      this.#settled(ended, attempt.context, ms)
    }
    this.#record(({ operation, ended: counter }) => {
      for (const [attributes, count] of counted(batch)) counter.add(count, attributes)
      for (const [queue, ms] of longest) operation.record(ms / 1_000, operationAttributes("settle", queue))
    })
  }

  /** Nobody would keep the settlement of a run that is not recorded. */
  #settled({ job, state, error }: Ended, context: TraceContext, ms: number): void {
    const { api } = this.#settings
    if (!this.#makes("settle") || api.trace.getSpanContext(context)?.traceFlags === 0) return
    const attributes = {
      ...operationAttributes("settle", job.queue),
      ...messageId(job.id),
      ...outcomeAttributes(job, state, error?.name),
    }
    const settings = { kind: api.SpanKind.CLIENT, attributes, startTime: now() - ms }
    this.#tracer.startSpan(`settle ${job.name}`, settings, context).end()
  }

  #linkToPush(job: RunningJob): SpanLink[] {
    const { api, metaKey } = this.#settings
    const carrier = carrierIn(job.meta, metaKey)
    const context = carrier && api.trace.getSpanContext(received(api, carrier))
    return context ? [{ context }] : []
  }

  #start(operation: Operation, name: string, kind: number, attributes: Attributes): Span {
    return this.#tracer.startSpan(`${operation} ${name}`, { kind, attributes }, this.#settings.api.context.active())
  }

  /** Marks a span as failed; returns the error's type. */
  #failed(span: Span | undefined, error: unknown): string {
    const { name, message } = errorRecord(error, 0)
    span?.recordException(error instanceof Error ? error : message)
    span?.setStatus({ code: this.#settings.api.SpanStatusCode.ERROR, message })
    span?.setAttributes({ "error.type": name })
    return name
  }

  /** What all runs of a job have in common, made once: this is on the way of every job. */
  #attributesOf({ name, queue }: RunningJob): Attributes {
    const key = `${queue}\n${name}`
    const known = this.#ofJobs.get(key)
    if (known) return known
    if (this.#ofJobs.size >= mostKnown) this.#ofJobs.clear()
    const attributes = { ...operationAttributes("run", queue), "millrace.job.name": name }
    this.#ofJobs.set(key, attributes)
    return attributes
  }

  #makes(operation: Operation): boolean {
    return this.#settings.spans.includes(operation)
  }

  get #tracer(): Tracer {
    return this.#settings.api.trace.getTracer("millrace")
  }

  /** Made when first needed: a meter that is asked for before the SDK is registered stays without effect for ever. */
  #record(run: (all: Instruments) => void): void {
    if (!this.#settings.metrics) return
    run((this.#instruments ??= instruments(this.#settings.api.metrics.getMeter("millrace"))))
  }
}

const withSpan = (api: OpenTelemetryLike, context: TraceContext, span: Span): TraceContext =>
  api.trace.setSpan(context, span as never)

const messageId = (id: string | undefined): Attributes => (id === undefined ? {} : { "messaging.message.id": id })

const errorType = (type: string | undefined): Attributes => (type === undefined ? {} : { "error.type": type })

const outcomeAttributes = ({ name }: RunningJob, state: JobState, error: string | undefined): Attributes => ({
  "millrace.job.name": name,
  "millrace.job.state": state,
  ...errorType(error),
})

/** How many attempts of a batch ended alike: an instrument is asked once for all of them. */
function counted(batch: readonly Ended[]): Iterable<readonly [Attributes, number]> {
  const found = new Map<string, [Attributes, number]>()
  for (const { job, state, error } of batch) {
    const key = `${job.queue}\n${job.name}\n${state}\n${error?.name ?? ""}`
    const one = found.get(key)
    if (one) one[1] += 1
    else found.set(key, [{ "messaging.destination.name": job.queue, ...outcomeAttributes(job, state, error?.name) }, 1])
  }
  return found.values()
}

/** What tells one run from another. */
const runAttributes = (job: RunningJob): Attributes => ({
  ...messageId(job.id),
  "millrace.job.attempt": job.attempt,
  "millrace.job.max_attempts": job.maxAttempts,
  ...workflowAttributes(job.meta),
})

/** Steps of workflows say in their meta which they are: what belongs to one run of a workflow is found by its id. */
function workflowAttributes({ workflow }: Readonly<Record<string, unknown>>): Attributes | undefined {
  const { id, step } = (workflow ?? {}) as { id?: unknown; step?: unknown }
  if (typeof id !== "string" || typeof step !== "string") return undefined
  return { "millrace.workflow.id": id, "millrace.workflow.step": step }
}

/** What a handler decided itself, or what was stopped from outside, is no failure of its own. */
const isFailure = (job: RunningJob, report: Report): report is Report & { ok: false } =>
  !report.ok && !isDirective(report.error) && !isStopped(job)

function isStopped({ signal }: RunningJob): boolean {
  if (!signal.aborted) return false
  const { code } = (signal.reason ?? {}) as { code?: unknown }
  return code !== "MILLRACE_TIMEOUT"
}

/** A link per trace that came along, once per span. */
function link(api: OpenTelemetryLike, span: Span, carrier: Record<string, string>, linked?: Set<string>): void {
  const context = api.trace.getSpanContext(received(api, carrier))
  if (!context || linked?.has(context.spanId) || (linked?.size ?? 0) >= mostLinks) return
  linked?.add(context.spanId)
  span.addLink({ context })
}

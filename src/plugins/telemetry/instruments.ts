import type { Attributes, Counter, Histogram, Meter } from "./api.ts"

/** The instruments, named by OpenTelemetry's conventions for messaging; ours begin with `millrace.`. */
export interface Instruments {
  /** Seconds that a push, a claim or a settlement took. */
  readonly operation: Histogram
  readonly sent: Counter
  readonly consumed: Counter
  /** Seconds that handlers took. */
  readonly process: Histogram
  /** Attempts that have ended, by the state that they led to. */
  readonly ended: Counter
}

/** Of the conventions; seconds. */
const seconds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300, 900, 3_600]

export function instruments(meter: Meter): Instruments {
  const histogram = (name: string, description: string) =>
    meter.createHistogram(name, { description, unit: "s", advice: { explicitBucketBoundaries: seconds } })
  const counter = (name: string, description: string, unit: string) => meter.createCounter(name, { description, unit })
  return {
    operation: histogram("messaging.client.operation.duration", "Duration of pushes, claims and settlements."),
    process: histogram("messaging.process.duration", "Duration of handlers."),
    sent: counter("messaging.client.sent.messages", "Jobs that were pushed.", "{message}"),
    consumed: counter("messaging.client.consumed.messages", "Jobs that were claimed.", "{message}"),
    ended: counter("millrace.attempts", "Attempts that have ended, by the state that they led to.", "{attempt}"),
  }
}

export type Operation = "push" | "claim" | "run" | "settle"

const types: Readonly<Record<Operation, string>> = { push: "send", claim: "receive", run: "process", settle: "settle" }

/** What spans and instruments say of every operation. */
export const operationAttributes = (operation: Operation, queue: string): Attributes => ({
  "messaging.system": "millrace",
  "messaging.operation.name": operation,
  "messaging.operation.type": types[operation],
  "messaging.destination.name": queue,
})

// The flow of the fault tests. What it does stands in programs/flow-worker.ts.
import { defineFlow, defineJob } from "millrace"

export interface Ten {
  /** Points at which the process that runs it is killed, each the first time that this flow comes by. */
  readonly kill: readonly string[]
  /** Waits for an order in its third step, at its first run. */
  readonly hold?: boolean
}

export interface TenResult {
  readonly steps: readonly unknown[]
}

const keepsNothing = { retention: { succeeded: "none", failed: "1h" }, backoff: { initial: 20, max: 300 } } as const

export const ten = defineFlow<Ten, TenResult>({ name: "ten" })

/** Doubles a number; leaves no record. */
export const twice = defineJob<number, number>({ name: "twice", ...keepsNothing })

/** Those with code of their own. */
const inside = ["step", "transaction", "left", "right", "last"]

/** Every place at which the flow can be killed, in the order in which it comes by; after a step is before the next. */
export const points = [
  ...["step", "transaction", "value", "push", "result", "sleep", "signal", "left", "right", "last"].flatMap((step) =>
    inside.includes(step) ? [`before ${step}`, `in ${step}`] : [`before ${step}`],
  ),
  "after value",
  "after left",
  "after right",
  "after last",
]

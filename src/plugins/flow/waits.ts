import type { Ledger } from "./ledger.ts"
import { childFailed, signalTimeout, type ChildEnd } from "./problems.ts"
import type { Step } from "./store.ts"

/** Ends a wait when its time is over, or what it waits for is in the inbox; what is there wins. */
export function lookAt(ledger: Ledger, step: Step, over: boolean): void {
  if (step.kind === "sleep" && over) ledger.end(step, {})
  if (step.kind === "signal") lookForSignal(ledger, step, over)
  if (step.kind === "result") lookForChild(ledger, step)
}

function lookForSignal(ledger: Ledger, step: Step, over: boolean): void {
  const signal = ledger.inbox.find((one) => one.kind === "signal" && one.name === step.name)
  if (signal) ledger.end(step, { text: textOf(signal), takes: signal })
  else if (over) ledger.end(step, { error: signalTimeout(step.name!) })
}

function lookForChild(ledger: Ledger, step: Step): void {
  const arrival = ledger.inbox.find((one) => one.kind === "child" && one.name === step.child)
  if (!arrival) return
  const end = arrival.payload as ChildEnd
  if (end.state === "succeeded")
    ledger.end(step, { text: textOf({ payload: end.result, nothing: end.nothing }), takes: arrival })
  else ledger.end(step, { error: childFailed(step.child!, end), takes: arrival })
}

const textOf = ({ payload, nothing }: { readonly payload: unknown; readonly nothing: boolean }): string | undefined =>
  nothing ? undefined : JSON.stringify(payload)

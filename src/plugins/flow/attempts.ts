import { setTimeout as pause } from "node:timers/promises"
import { backoffDelay, type Backoff } from "../../lib/backoff.ts"
import { monotonic } from "../../lib/clock.ts"
import { milliseconds } from "../../lib/duration.ts"
import { integer, parseOptions } from "../../lib/options.ts"
import type { Transaction } from "../../model/database.ts"
import { failure, isMillraceError } from "../../model/errors.ts"
import { backoffOptions, defaultBackoff } from "../../model/job-options.ts"
import { isDirective, packDirective } from "../../model/outcome.ts"
import { verdict } from "../../postgres/sqlstate.ts"
import type { Execution } from "./execution.ts"
import type { StepOptions, StepRun } from "./flow.ts"
import { stepFailed } from "./problems.ts"
import type { Step } from "./store.ts"

/*
 * The attempts of one step. A failed one is stored with the time of the next; a short wait is spent here, a long one without
 * the slot. The last error is stored as the step's end.
 */

/** The longest wait between attempts that keeps the slot, ms. */
const shortWait = 1_000

export interface Policy {
  readonly maxAttempts: number
  readonly backoff: Backoff
  readonly timeout: number | undefined
}

const retryOptions = { maxAttempts: integer({ default: 5, min: 1, max: 1_000_000, doc: "Attempts in all." }) }

/** @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_DURATION. */
export function policyOf(given: StepOptions | undefined): Policy {
  const { retry = {}, timeout, ...rest } = given ?? {}
  parseOptions("flow.step", {}, rest)
  const { backoff, ...attempts } = retry
  return {
    ...parseOptions("flow.step.retry", retryOptions, attempts),
    backoff: backoff ? parseOptions("flow.step.retry.backoff", backoffOptions, backoff) : defaultBackoff,
    timeout: timeout === undefined ? undefined : milliseconds(timeout, "flow.step.timeout", { min: 1 }),
  }
}

/** What a step does: alone, or in a transaction. */
export type Work =
  { readonly alone: (run: StepRun) => unknown } | { readonly within: (tx: Transaction, run: StepRun) => unknown }

/** Attempts until the step has ended, or its next attempt is too far away. */
export async function attempts(execution: Execution, step: Step, work: Work, policy: Policy): Promise<void> {
  step.begun ??= monotonic()
  for (;;) {
    const failed = await attempt(execution, step, work, policy)
    if (!failed || execution.stopped) return
    if (isMillraceError(failed.error, "MILLRACE_LEASE_LOST")) throw failed.error
    if (isMillraceError(failed.error, "MILLRACE_FLOW_TOO_LARGE")) return execution.giveUp(failed.error)
    // Trouble on the way to the database is no failure of the step.
    if (!failed.own && verdict(failed.error) === "retry") {
      await pause(backoffDelay(defaultBackoff, 1))
      continue
    }
    const wait = await note(execution, step, failed.error, policy)
    if (wait === undefined || wait > shortWait) return
    await pause(wait)
    if (execution.stopped) return
  }
}

interface Failed {
  readonly error: unknown
  /** The step's own, not of the way to the database. */
  readonly own: boolean
}

async function attempt(execution: Execution, step: Step, work: Work, { timeout }: Policy): Promise<Failed | undefined> {
  const { job, ledger } = execution
  const late = new AbortController()
  const run: StepRun = {
    signal: AbortSignal.any([job.signal, execution.over, late.signal]),
    attempt: step.attempts + 1,
    idempotencyKey: `${job.id}:${step.key}`,
  }
  let own = true
  try {
    if ("alone" in work) {
      const text = ledger.encode(step.key, await inTime(step.key, () => work.alone(run), timeout, late))
      if (execution.ended) return undefined
      step.attempts = run.attempt
      ledger.end(step, { text })
    } else {
      own = false
      const within = async (tx: Transaction) => {
        const seen = watched(tx)
        try {
          return {
            text: ledger.encode(step.key, await inTime(step.key, () => work.within(seen.tx, run), timeout, late)),
          }
        } catch (error) {
          own = !seen.has(error)
          throw error
        }
      }
      await ledger.together(step, within, run.attempt)
    }
    return undefined
  } catch (error) {
    return { error, own }
  }
}

/** A transaction that tells its own errors from those of the code that uses it. */
function watched(tx: Transaction): { readonly tx: Transaction; has(error: unknown): boolean } {
  const errors = new Set<unknown>()
  return {
    has: (error) => errors.has(error),
    tx: {
      query: (text, values) =>
        tx.query<never>(text, values).catch((error: unknown) => {
          errors.add(error)
          throw error
        }),
    },
  }
}

/** The signal fires at the limit; a function that does not obey is left behind. */
async function inTime<T>(
  key: string,
  call: () => T | Promise<T>,
  timeout: number | undefined,
  own: AbortController,
): Promise<T> {
  if (timeout === undefined) return call()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = failure("MILLRACE_TIMEOUT", `Step "${key}" was over its time limit of ${timeout} ms.`)
      own.abort(error)
      reject(error)
    }, timeout)
  })
  try {
    return await Promise.race([call(), late])
  } finally {
    clearTimeout(timer)
  }
}

/** Stores a failed attempt. @returns the wait until the next one, ms; undefined when it was the last. */
async function note({ ledger }: Execution, step: Step, thrown: unknown, policy: Policy): Promise<number | undefined> {
  step.attempts += 1
  const told = isDirective(thrown) ? { ...packDirective(thrown), reason: thrown.reason } : undefined
  const error = told ? (told.reason ?? new Error(`the step asked for "${told.kind}"`)) : thrown
  const stored = stepFailed(step.key, step.attempts, error)
  if (step.attempts >= policy.maxAttempts || told?.kind === "discard" || told?.kind === "cancel" || unstorable(error)) {
    ledger.end(step, { error: stored })
    return undefined
  }
  const delayMs = told?.delayMs ?? backoffDelay(policy.backoff, step.attempts)
  step.status = "retrying"
  await ledger.write({ step: { ...step, error: stored }, delayMs })
  return delayMs
}

/** What a step returned cannot be stored, and will not be the next time. */
const unstorable = (error: unknown): boolean => isMillraceError(error, "MILLRACE_BAD_JSON")

import { randomUUID } from "node:crypto"
import { milliseconds, type Duration } from "../../lib/duration.ts"
import { uuidv7 } from "../../lib/uuid.ts"
import type { Transaction } from "../../model/database.ts"
import { failure, isMillraceError } from "../../model/errors.ts"
import { refused } from "../../model/definition.ts"
import { jobLog } from "../../model/job-log.ts"
import type { AnyDefinition, Pushable } from "../../model/pushable.ts"
import { verdict } from "../../postgres/sqlstate.ts"
import { attempts, policyOf, type Work } from "./attempts.ts"
import type { Execution } from "./execution.ts"
import type { Flow, FlowJob, FlowPushOptions, StepOptions, StepRun, WaitForOptions } from "./flow.ts"
import { badId, pushFailed } from "./problems.ts"
import { persist, type Kind, type Step } from "./store.ts"

/** The object that a flow's function is given. */
export function flowOf(execution: Execution): Flow {
  const { job } = execution
  return {
    id: job.id,
    job,
    signal: job.signal,
    get replaying() {
      return execution.replaying
    },
    log: jobLog((level, message, fields) => {
      if (!execution.replaying) job.log[level](message, fields)
    }),
    ...waitsOf(execution),
    ...valuesOf(execution),
    step: quiet((id: string, run: (step: StepRun) => unknown, options?: StepOptions) =>
      step(execution, id, "step", { alone: run }, options),
    ) as Flow["step"],
    transaction: quiet((id: string, run: (tx: Transaction, step: StepRun) => unknown, options?: StepOptions) =>
      step(execution, id, "transaction", { within: run }, options),
    ) as Flow["transaction"],
    push: quiet((definition: Pushable<unknown, unknown>, payload: unknown, options?: FlowPushOptions) =>
      push(execution, definition, payload, options),
    ) as Flow["push"],
    run: quiet(async (definition: Pushable<unknown, unknown>, payload: unknown, options?: FlowPushOptions) => {
      const job = await push(execution, definition, payload, options)
      return job.result()
    }) as Flow["run"],
  }
}

/** Code may await a call later, or never: its failure is stored, and must not end the process meanwhile. */
const quiet =
  <Given extends readonly unknown[], T>(call: (...given: Given) => Promise<T>) =>
  (...given: Given): Promise<T> => {
    const promise = call(...given)
    promise.catch(() => {})
    return promise
  }

function waitsOf(execution: Execution): Pick<Flow, "sleep" | "sleepUntil" | "waitFor"> {
  const { ledger } = execution
  return {
    sleep: quiet(async (...given: [Duration] | [string, Duration]) => {
      const [id, duration] = given.length === 1 ? ["sleep", given[0]] : given
      const delayMs = milliseconds(duration, "flow.sleep")
      const start = (one: Step) => void ledger.write({ step: { ...one }, delayMs })
      await execution.ask(id, { kind: "sleep", start }, "flow.sleep")
    }),
    sleepUntil: quiet(async (...given: [Date] | [string, Date]) => {
      const [id, date] = given.length === 1 ? ["sleepUntil", given[0]] : given
      if (!(date instanceof Date) || Number.isNaN(date.getTime()))
        throw failure("MILLRACE_BAD_OPTION", "flow.sleepUntil: expected a valid Date.")
      const start = (one: Step) => {
        one.until = date.getTime()
        void ledger.write({ step: { ...one } })
      }
      await execution.ask(id, { kind: "sleep", start }, "flow.sleepUntil")
    }),
    waitFor: quiet((name: string, options?: WaitForOptions) => waitFor(execution, name, options) as Promise<never>),
  }
}

function valuesOf(execution: Execution): Pick<Flow, "now" | "random" | "uuid" | "patched"> {
  const { ledger } = execution
  return {
    now: quiet(async () => new Date(Number(await value(execution, "now", () => Math.round(ledger.now()))))),
    random: quiet(async () => Number(await value(execution, "random", () => Math.random()))),
    uuid: quiet(async () => String(await value(execution, "uuid", () => randomUUID()))),
    patched: quiet(async (id: string) => {
      const start = (one: Step) => ledger.end(one, { text: "true" })
      return (await execution.ask(id, { kind: "patched", start }, "flow.patched")).value === true
    }),
  }
}

async function step(
  execution: Execution,
  id: string,
  kind: Kind,
  work: Work,
  options: StepOptions | undefined,
): Promise<unknown> {
  const policy = policyOf(options)
  const run = "alone" in work ? work.alone : work.within
  if (typeof run !== "function")
    throw failure("MILLRACE_BAD_OPTION", `flow.${kind} "${id}": the second argument is the function to run.`)
  const start = (one: Step) => void execution.busy(one, () => attempts(execution, one, work, policy))
  return (await execution.ask(id, { kind, start }, `flow.${kind}`)).value
}

async function value(execution: Execution, id: string, make: () => string | number): Promise<unknown> {
  const start = (one: Step) => execution.ledger.end(one, { text: JSON.stringify(make()) })
  return (await execution.ask(id, { kind: "value", name: id, start }, `flow.${id}`)).value
}

async function waitFor(execution: Execution, name: string, options: WaitForOptions = {}): Promise<unknown> {
  const { timeout, schema } = options
  const delayMs = timeout === undefined ? undefined : milliseconds(timeout, "flow.waitFor.timeout")
  const start = (one: Step) => void execution.ledger.write({ step: { ...one }, delayMs })
  const { value: payload } = await execution.ask(name, { kind: "signal", name, start }, "flow.waitFor")
  if (!schema) return payload
  const checked = await schema["~standard"].validate(payload)
  if (!checked.issues) return checked.value
  // The same payload will be refused at every replay.
  throw execution.record(refused({ name } as AnyDefinition, checked.issues))
}

async function push<Input, Result>(
  execution: Execution,
  definition: Pushable<Input, Result>,
  payload: Input,
  options: FlowPushOptions = {},
): Promise<FlowJob<Result>> {
  if (typeof definition?.name !== "string")
    throw failure("MILLRACE_BAD_OPTION", "flow.push: the first argument must be a job definition or a flow.")
  const { id = definition.name, ...rest } = options
  if ("tx" in rest || "wake" in rest)
    throw failure("MILLRACE_BAD_OPTION", "flow.push takes neither tx nor wake: the job is pushed with the step.")
  if (typeof id !== "string") throw badId("flow.push", id)
  const start = (one: Step) => void execution.busy(one, () => pushOnce(execution, one, definition, payload, rest))
  const pushed = await execution.ask(id, { kind: "push", name: definition.name, start }, "flow.push")
  return {
    id: pushed.child!,
    result: quiet(() => result(execution, pushed, definition.name)) as FlowJob<Result>["result"],
  }
}

async function pushOnce(
  { job, ledger }: Execution,
  one: Step,
  definition: AnyDefinition,
  payload: unknown,
  options: Omit<FlowPushOptions, "id">,
): Promise<void> {
  const id = childId()
  // A job that leaves nothing behind could not tell how it ended.
  const kept = definition.defaults.retention?.succeeded === 0 && options.retention === undefined
  const push = { ...options, ...(options.retention === "none" || kept ? { retention: "1h" } : {}), id }
  try {
    await persist(job.signal, () =>
      ledger.together(one, async (tx) => {
        const { id: child } = await job.app.push(definition, payload, { ...push, tx })
        return { child }
      }),
    )
  } catch (error) {
    if (isMillraceError(error, "MILLRACE_LEASE_LOST") || verdict(error) === "retry") throw error
    ledger.end(one, { error: pushFailed(one.key, error) })
  }
}

/** Version 8 marks jobs that flows pushed: settlements look for the flows of these only. In time order like other ids. */
function childId(): string {
  const id = uuidv7()
  return `${id.slice(0, 14)}8${id.slice(15)}`
}

export const isChildId = (id: string): boolean => id[14] === "8"

async function result(execution: Execution, { key, child }: Step, name: string): Promise<unknown> {
  const start = (one: Step) => {
    void execution.ledger.write({ step: { ...one } })
  }
  const id = `${key.replaceAll("#", "~")}.result`
  const call = { kind: "result", name, child, start } as const
  return (await execution.ask(id, call, "flow.push.result")).value
}

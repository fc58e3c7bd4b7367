import { errorRecord, failure, isMillraceError, type ErrorCode } from "../../model/errors.ts"
import type { Kind, Step, StoredError } from "./store.ts"

/** What a flow can end with, and how errors are stored and thrown again. */

/** A stored error as it is thrown: the same at every replay, the first time included. */
export function thrown({ code, message, cause }: StoredError): Error {
  return failure(code as ErrorCode, message, cause && asError(cause))
}

function asError({ name, message, code, stack }: NonNullable<StoredError["cause"]>): Error {
  const error: Error & { code?: string } = new Error(message)
  error.name = name
  if (code !== undefined) error.code = code
  if (stack !== undefined) error.stack = stack
  return error
}

export const stepFailed = (key: string, attempts: number, error: unknown): StoredError => {
  const cause = errorRecord(error, attempts)
  const tries = attempts === 1 ? "1 attempt" : `${attempts} attempts`
  return { code: "MILLRACE_STEP_FAILED", message: `Step "${key}" failed after ${tries}: ${cause.message}`, cause }
}

/** An error of ours keeps its code: a payload that a schema refuses is that, and no failed step. */
export const pushFailed = (key: string, error: unknown): StoredError =>
  isMillraceError(error)
    ? { code: error.code, message: error.message }
    : { ...stepFailed(key, 1, error), message: `The push "${key}" failed: ${errorRecord(error, 1).message}` }

export const signalTimeout = (name: string): StoredError => ({
  code: "MILLRACE_TIMEOUT",
  message: `No signal "${name}" came in time.`,
})

/** How a pushed job ended, as the settlement wrote it down. */
export interface ChildEnd {
  readonly state: string
  readonly name: string | null
  readonly result: unknown
  readonly nothing: boolean
  readonly error: StoredError["cause"] | null
  readonly reason: string | null
}

export function childFailed(id: string, { state, name, error, reason }: ChildEnd): StoredError {
  const job = `Job ${id} ("${name}")`
  const cause = error ?? undefined
  if (state === "failed")
    return { code: "MILLRACE_JOB_FAILED", message: `${job} failed: ${cause?.message ?? "no error was kept"}`, cause }
  if (state === "cancelled")
    return { code: "MILLRACE_CANCELLED", message: `${job} was cancelled: ${reason ?? "no reason was given"}`, cause }
  return {
    code: "MILLRACE_UNKNOWN_JOB",
    message: `${job} is gone, and nobody knows how it ended: it was deleted, or its retention is over.`,
  }
}

const called = ({ key, kind, name }: Pick<Step, "key" | "kind" | "name">): string =>
  `"${key}" (${words[kind]}${name === undefined || name === key ? "" : ` of "${name}"`})`

const words: Readonly<Record<Kind, string>> = {
  step: "a step",
  transaction: "a transaction",
  sleep: "a sleep",
  signal: "a wait for a signal",
  push: "a push",
  result: "a wait for a job",
  value: "a recorded value",
  patched: "a patch",
}

/** @param found what the code asked for instead; undefined: it returned, or waits for something else. */
export function flowChanged(
  flow: string,
  recorded: Step,
  found: Pick<Step, "key" | "kind" | "name"> | "returned" | undefined,
) {
  const instead =
    found === undefined
      ? "never asks for it"
      : found === "returned"
        ? "returned without it"
        : `asked for ${called(found)} instead`
  return failure(
    "MILLRACE_FLOW_CHANGED",
    `The code of flow "${flow}" has changed under this run: step ${recorded.seq}, ${called(recorded)}, is recorded, but the code ${instead}. ` +
      'Nothing was run. Deploy code that comes by the recorded steps (new ones behind `await flow.patched("…")`), then flows.resume(id).',
  )
}

export const flowTooLarge = (what: string) =>
  failure("MILLRACE_FLOW_TOO_LARGE", `${what} Let the flow end by pushing its successor, or store the data elsewhere.`)

export const badId = (where: string, id: unknown) =>
  failure(
    "MILLRACE_BAD_OPTION",
    `${where}: an id is 1 to 200 characters of text without "#", U+0000 or half a surrogate pair, not ${JSON.stringify(id) ?? typeof id}.`,
  )

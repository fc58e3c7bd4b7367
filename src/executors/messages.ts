import { deserialize, serialize } from "node:v8"
import type { LogLevel } from "../model/job-log.ts"
import type { NewJob } from "../model/job.ts"
import type { AppRecipe } from "../model/executor.ts"
import type { PackedError, PackedReport } from "../model/wire.ts"

/*
 * What a pool and its threads or processes say to each other. Short arrays of texts and numbers: they are the same to
 * structured clone and to JSON, and they are what a no-op job costs. Each names its call, so that what an ended call
 * still says is dropped.
 */

/** What a thread or process is told when it starts. */
export interface Setup {
  readonly init: string | undefined
  readonly modules: readonly string[]
  readonly queue: string
  readonly maxPayload: number
  readonly app: AppRecipe | undefined
}

/** One job of a call. */
export type JobMessage = readonly [
  id: string,
  name: string,
  attempt: number,
  maxAttempts: number,
  crashes: number,
  claims: number,
  payload: string,
  /** Milliseconds; 0: none. */
  timeout: number,
  meta: string | null,
  tags: readonly string[] | null,
]

export type ToSeat =
  | readonly ["run", call: number, module: string, jobs: readonly JobMessage[]]
  | readonly ["abort", call: number, job: number, reason: PackedError]
  /** To a question of `ask`: a sealed value, or what went wrong. */
  | readonly ["answer", question: number, value: string | null, wrong: PackedReport]

export type Question = "begin" | "query" | "commit" | "rollback"

export type FromSeat =
  | readonly ["ready"]
  | readonly ["broken", error: PackedError]
  /** The meta of each job as JSON text; null where it is as it was. */
  | readonly ["done", call: number, reports: readonly PackedReport[], metas: readonly (string | null)[]]
  | readonly ["progress", call: number, job: number, value: string]
  | readonly ["log", call: number, job: number, level: LogLevel, message: string, fields: string | null]
  | readonly ["push", call: number, job: number, pushed: NewJob]
  | readonly ["ask", call: number, job: number, question: number, kind: Question, value: string]

/** A value of a transaction (parameters, rows) as text, with dates, binary data and big integers whole. */
export const seal = (value: unknown): string => serialize(value).toString("base64")
export const unseal = (sealed: string): unknown => deserialize(Buffer.from(sealed, "base64"))

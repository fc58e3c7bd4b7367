import { get, part, post } from "./http.ts"
import type { Count } from "./jobs.ts"

export type BulkAction = "retry" | "run-now" | "cancel" | "delete" | "move" | "reprioritize"

export interface Operation {
  id: string
  action: BulkAction | "undo"
  /** `lost`: its process has gone. */
  state: "running" | "done" | "stopped" | "failed" | "lost"
  total: Count
  matched: number
  changed: number
  refused: number
  refusals: readonly { id: string; code: string; message: string }[]
  error: string | null
  /** Jobs that an undo would bring back. */
  undoable: number
  createdBy: string
  createdAt: string
  undoneBy: string | null
}

export interface DryRun {
  total: Count
  undoable: boolean
}

export type Target = { readonly ids: readonly string[] } | { readonly q: string }

type Options = Readonly<Record<string, unknown>>

export const dryRun = (action: BulkAction, target: Target, options: Options): Promise<DryRun> =>
  post("/operations", { action, ...target, ...options, dryRun: true })

/** Refused when more match by now than were told. */
export const begin = (
  action: BulkAction,
  target: Target,
  options: Options,
  expected: number | undefined,
): Promise<Operation> =>
  post("/operations", { action, ...target, ...options, ...(expected === undefined ? {} : { expected }) })

export const operation = (id: string): Promise<Operation> => get(`/operations/${part(id)}`)
export const stopOperation = (id: string): Promise<unknown> => post(`/operations/${part(id)}/stop`)
export const undoOperation = (id: string): Promise<Operation> => post(`/operations/${part(id)}/undo`)

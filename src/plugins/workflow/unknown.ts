import { failure } from "../../model/errors.ts"

export const unknownWorkflow = (id: string) =>
  failure(
    "MILLRACE_UNKNOWN_WORKFLOW",
    `There is no workflow ${id}: it never was, it was deleted, or its retention is over.`,
  )

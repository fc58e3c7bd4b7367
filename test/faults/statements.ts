// The statements that the proxy is told to look for, by what they are for.
import type { Statement } from "../support/tcp-proxy.ts"

const isCycle = ({ text }: Statement): boolean => text.includes('"cycle_')

/** Settles this job, whatever else it does. (Ids in the last value only say where to look for more.) */
export const settles =
  (job: string) =>
  (statement: Statement): boolean =>
    isCycle(statement) && statement.values.slice(0, -1).some((value) => value?.includes(job))

/** Asks for jobs: the limit is the only bare number. */
export const claims = (statement: Statement): boolean =>
  isCycle(statement) && statement.values.some((value) => value !== null && /^[1-9]\d*$/.test(value))

/** Inserts a job whose payload contains this. */
export const pushes =
  (payload: string) =>
  ({ text, values }: Statement): boolean =>
    /"push_/.test(text) && values[2]?.includes(payload) === true

export const commits = ({ text }: Statement): boolean => text === "commit"

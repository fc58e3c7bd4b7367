/** Something the reader can put right: its message is one line that says what to do, and no stack is shown. */
export class Problem extends Error {}

/** Ctrl-C, or another signal to end. */
export class Interrupted extends Error {}

export const messageOf = (thrown: unknown): string => {
  if (thrown instanceof AggregateError && thrown.message === "") return thrown.errors.map(messageOf).join("; ")
  return thrown instanceof Error ? thrown.message : String(thrown)
}

export const codeOf = (thrown: unknown): string => {
  const code = typeof thrown === "object" && thrown !== null && "code" in thrown ? thrown.code : ""
  return typeof code === "string" ? code : ""
}

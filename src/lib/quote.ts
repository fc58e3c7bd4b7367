const LONGEST = 60

/** A value as an error message shows it: short, on one line, never throwing and never spelling out an object. */
export function quote(value: unknown): string {
  if (typeof value === "string") return quoteText(value)
  if (typeof value === "bigint") return `${value}n`
  if (typeof value === "function") return "a function"
  if (typeof value === "symbol") return "a symbol"
  if (typeof value !== "object" || value === null) return String(value)
  return quoteObject(value)
}

function quoteText(text: string): string {
  return text.length <= LONGEST ? JSON.stringify(text) : `${JSON.stringify(text.slice(0, LONGEST))}…`
}

function quoteObject(value: object): string {
  try {
    if (Array.isArray(value)) return "an array"
    const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
    return typeof name === "string" && name !== "" && name !== "Object" ? `an instance of ${name}` : "an object"
  } catch {
    return "an object" // a revoked or hostile proxy
  }
}

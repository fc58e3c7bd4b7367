/** A line of a difference: of both sides, of the first alone, or of the second alone. */
export interface Line {
  sign: " " | "−" | "+"
  line: string
}

const most = 600

/** What changed from one text to another, line by line: the longest common part stays. */
export function differenceOf(one: readonly string[], other: readonly string[]): Line[] {
  // The table grows with both lengths; of what is longer, the ends are told apart and the rest is cut.
  const [a, b] = [one.slice(0, most), other.slice(0, most)]
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1))
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i]![j] = a[i] === b[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!)
    }
  }
  const lines: Line[] = []
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ sign: " ", line: a[i]! })
      i++
      j++
    } else if (j >= b.length || (i < a.length && common[i + 1]![j]! >= common[i]![j + 1]!)) {
      lines.push({ sign: "−", line: a[i++]! })
    } else lines.push({ sign: "+", line: b[j++]! })
  }
  if (one.length > most || other.length > most)
    lines.push({ sign: " ", line: `… only the first ${most} lines are compared` })
  return lines
}

/** JSON as lines that do not depend on the order of keys. */
export const jsonLines = (value: unknown): string[] => (JSON.stringify(value ?? null, ordered, 2) ?? "null").split("\n")

const ordered = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value

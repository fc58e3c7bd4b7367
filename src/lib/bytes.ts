import { MillraceError } from "./error.ts"
import { quote } from "./quote.ts"

/** An amount of memory: a number of bytes, or text such as `"512mb"`. Units are binary: b, kb, mb, gb. */
export type Bytes = number | string

const units: Readonly<Record<string, number>> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }

/**
 * Whole bytes of an amount.
 *
 * @throws MILLRACE_BAD_OPTION.
 */
export function bytes(given: Bytes, where: string): number {
  const found = typeof given === "string" ? /^(\d+(?:\.\d+)?)\s*([kmg]?b)$/i.exec(given.trim()) : undefined
  const amount = found ? Number(found[1]) * units[found[2]!.toLowerCase()]! : given
  if (typeof amount === "number" && Number.isFinite(amount) && amount >= 0) return Math.round(amount)
  throw new MillraceError(
    "MILLRACE_BAD_OPTION",
    `${where}: expected an amount of memory such as "512mb", or a number of bytes, not ${quote(given)}.`,
  )
}

/** `"512 MB"`, for messages. */
export function describeBytes(amount: number): string {
  const [unit, size] = Object.entries(units).findLast(([, size]) => amount >= size) ?? ["b", 1]
  return `${Number((amount / size).toPrecision(3))} ${unit.toUpperCase()}`
}

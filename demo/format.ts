// How figures and names are written for people.

export const whole = (value: number): string => Math.round(value).toLocaleString("en-US")

export const count = (value: number, one: string, many = `${one}s`): string =>
  `${whole(value)} ${value === 1 ? one : many}`

const units = ["bytes", "kB", "MB", "GB", "TB"]

export function size(bytes: number): string {
  let unit = 0
  let value = bytes
  for (; value >= 999.95 && unit < units.length - 1; unit++) value /= 1000
  return `${unit === 0 ? whole(value) : value.toFixed(1)} ${units[unit]}`
}

export function time(seconds: number): string {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`
  return `${Math.floor(Math.round(seconds) / 60)} min ${Math.round(seconds) % 60} s`
}

/** A file's name may hold anything, also what would move the cursor. */
export const plainText = (name: string): string => name.replaceAll(/\p{Cc}/gu, "?")

export const percent = (part: number, all: number): string => (all === 0 ? "–" : `${((100 * part) / all).toFixed(1)} %`)

export function bar(share: number, width: number): string {
  const full = Math.round(Math.min(Math.max(share, 0), 1) * width)
  return "█".repeat(full) + "░".repeat(width - full)
}

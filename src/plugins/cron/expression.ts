import { Cron } from "croner"
import { failure } from "../../model/errors.ts"

/*
 * Cron expressions. croner reads them and walks the calendar (L, W, #, leap years), but only on a clock without time zones:
 * what a wall clock shows, written as if it were UTC. Where that wall clock jumps is occurrences.ts's matter.
 */

export interface Expression {
  readonly text: string
  /** Second, minute, hour, day of month, month, day of week. */
  readonly fields: readonly string[]
  /** It runs in every hour of the day, so a repeated hour is one more, and a skipped one is none. */
  readonly everyHour: boolean
  /** The next time on the wall clock after this one; undefined: there is none. */
  nextWall(after: number): number | undefined
}

const nicknames: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
}

const example =
  'Write five fields, as in "0 9 * * 1-5" (minute, hour, day of month, month, day of week), or six with seconds first.'

const parsed = new Map<string, Expression>()
const mostParsed = 10_000

/** @throws MILLRACE_BAD_SCHEDULE with an example of one that is right. */
export function parseExpression(given: string): Expression {
  const known = parsed.get(given)
  if (known) return known
  if (parsed.size >= mostParsed) parsed.clear()
  const made = parse(given)
  parsed.set(given, made)
  return made
}

function parse(given: string): Expression {
  const text = given.trim().replace(/\s+/g, " ")
  if (text.length > 500) throw bad(text.slice(0, 80), "is longer than 500 characters")
  const written = nicknames[text.toLowerCase()] ?? text
  if (written.startsWith("@")) {
    const event = written.toLowerCase() === "@reboot" ? "names an event, not a time" : "is not a nickname"
    throw bad(text, `${event}; known are ${Object.keys(nicknames).join(", ")}`)
  }
  const fields = written.split(" ")
  if (fields.length !== 5 && fields.length !== 6) throw bad(text, `has ${fields.length} fields`)
  const cron = read(text, written)
  const six = fields.length === 6 ? fields : ["0", ...fields]
  return {
    text,
    fields: six,
    everyHour: valuesOf(six[2]!, 0, 23).size === 24,
    nextWall: (after) => cron.nextRun(new Date(after))?.getTime(),
  }
}

function read(text: string, written: string): Cron {
  try {
    // Never scheduled here: no function is given, so no timer is made.
    return new Cron(written, { timezone: "UTC", mode: "5-or-6-parts", paused: true })
  } catch (error) {
    const reason = (error as Error).message.replace(/^CronPattern: /, "").replace(/\.$/, "")
    throw bad(text, `cannot be read: ${reason}`, error)
  }
}

const bad = (text: string, what: string, cause?: unknown) =>
  failure("MILLRACE_BAD_SCHEDULE", `The cron expression ${JSON.stringify(text)} ${what}. ${example}`, cause)

/** The numbers that a field of plain numbers, ranges and steps means; croner has refused what is wrong with it. */
export function valuesOf(field: string, low: number, high: number): Set<number> {
  const values = new Set<number>()
  for (const part of field.split(",")) {
    const [range = "*", by = "1"] = part.split("/")
    const [from, to] = /^[*?]$/.test(range) ? [low, high] : range.split("-").map(Number)
    for (let value = from!; value <= (to ?? from!); value += Number(by)) values.add(value)
  }
  return values
}

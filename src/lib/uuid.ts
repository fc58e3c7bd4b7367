import { randomFillSync, randomInt } from "node:crypto"

export { randomUUID as uuidv4 } from "node:crypto"

/*
 * Version 7 of RFC 9562: 48 bits of Unix milliseconds, 12 bits of counter (section 6.2, method 1) and 62 random bits.
 *
 * The counter starts each millisecond at a random value with its top bit clear, which leaves at least 2,048 steps.
 * When it overflows, the generator borrows the next millisecond and stays there until the clock has caught up; a clock
 * set back is treated the same way, so ids never go down. Random bits are drawn 512 ids at a time and turned to hex in
 * one go, because one small draw costs more than the rest of the id.
 */

const IDS_PER_DRAW = 512
const LAST_COUNT = 0xfff

/** A source of version 7 ids that follows `now`, in Unix milliseconds. `uuidv7` is one on the system clock. */
export function uuidv7Source(now: () => number): () => string {
  const draw = randomTails()
  let millisecond = -1
  let count = 0
  let prefix = ""

  const enter = (next: number) => {
    millisecond = next
    count = randomInt(0x800)
    const hex = next.toString(16).padStart(12, "0")
    prefix = `${hex.slice(0, 8)}-${hex.slice(8)}-`
  }

  return () => {
    const time = now()
    if (time > millisecond) enter(time)
    else if (count === LAST_COUNT) enter(millisecond + 1)
    else count++
    return prefix + (0x7000 | count).toString(16) + draw()
  }
}

/** A new version 7 id in canonical lower case: unique, and greater than every earlier one of this thread. */
export const uuidv7: () => string = uuidv7Source(Date.now)

const CANONICAL = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i

/** Is this a UUID of any version, written 8-4-4-4-12? */
export function isUuid(text: unknown): boolean {
  return typeof text === "string" && CANONICAL.test(text)
}

/** Yields `-vxxx-xxxxxxxxxxxx` with the variant bits in place. */
function randomTails(): () => string {
  const bytes = Buffer.alloc(IDS_PER_DRAW * 8)
  let hex = ""
  let at = 0
  return () => {
    if (at === hex.length) {
      randomFillSync(bytes)
      for (let first = 0; first < bytes.length; first += 8) bytes[first] = ((bytes[first] ?? 0) & 0x3f) | 0x80
      hex = bytes.toString("hex")
      at = 0
    }
    const tail = `-${hex.slice(at, at + 4)}-${hex.slice(at + 4, at + 16)}`
    at += 16
    return tail
  }
}

import { monotonic } from "../lib/clock.ts"
import { sanitizeJson } from "../lib/json.ts"
import type { LogLevel } from "../model/job-log.ts"
import type { LogChunk } from "../postgres/logs.ts"

/*
 * The lines of one attempt that are not stored yet. A handler may write faster than the database: what waits here is
 * bounded as well, and what goes is taken from the middle, so that the first lines and the newest stay.
 */

const longestMessage = 8_000
const mostFields = 8_192
const mostWaiting = 4_000
const mostBytes = 1_000_000
/** Waiting lines that are never dropped: the first ones. */
const firstLines = 500
const firstBytes = 128_000
const linesPerChunk = 200
const bytesPerChunk = 64_000

interface Line {
  readonly at: number
  /** JSON text without its first brace: the age is put before it when it is sent. */
  readonly rest: string
  /** Lines dropped right before it. */
  skip: number
}

/** Batches of this process: no two of one claim have the same number. */
let batches = 0

export class LogBook {
  #lines: Line[] = []
  #bytes = 0
  #sending: Line[] = []
  #batch = 0

  get empty(): boolean {
    return this.#lines.length === 0 && this.#sending.length === 0
  }

  add(level: LogLevel, message: string, fields: object | undefined): void {
    const rest = `"l":"${level}","m":${textOf(message)}${fields === undefined ? "" : `,"f":${sanitizeJson(fields, mostFields)}`}}`
    this.#lines.push({ at: monotonic(), rest, skip: 0 })
    this.#bytes += rest.length
    if (this.#lines.length > mostWaiting || this.#bytes > mostBytes) this.#thin()
  }

  /** Drops a half of what waits, behind the first lines. */
  #thin(): void {
    let start = 0
    let bytes = 0
    while (start < firstLines && bytes < firstBytes) bytes += this.#lines[start++]!.rest.length
    let end = start
    const enough = this.#bytes / 2
    while (end < this.#lines.length - 1 && (end - start < mostWaiting / 2 || this.#bytes > enough)) {
      this.#bytes -= this.#lines[end++]!.rest.length
    }
    const gone = this.#lines.splice(start, end - start)
    this.#lines[start]!.skip += gone.reduce((sum, line) => sum + line.skip + 1, 0)
  }

  /**
   * What is to be sent. It stays the same, under the same number, until `stored`: sent again after a lost reply, it is
   * recognised.
   */
  take(): LogChunk[] {
    if (this.#sending.length === 0) {
      this.#sending = this.#lines
      this.#lines = []
      this.#bytes = 0
      this.#batch = batches += 1
    }
    return [...chunksOf(this.#sending, this.#batch)]
  }

  stored(): void {
    this.#sending = []
  }
}

function* chunksOf(lines: readonly Line[], batch: number): Generator<LogChunk> {
  const now = monotonic()
  for (let start = 0; start < lines.length;) {
    const { skip } = lines[start]!
    const texts: string[] = []
    let bytes = 0
    do {
      const { at, rest } = lines[start++]!
      const text = `{"a":${Math.round(now - at)},${rest}`
      texts.push(text)
      bytes += Buffer.byteLength(text)
    } while (start < lines.length && lines[start]!.skip === 0 && texts.length < linesPerChunk && bytes < bytesPerChunk)
    yield { batch, skip, count: texts.length, bytes, lines: `[${texts.join(",")}]` }
  }
}

/** A message as JSON text that can be stored; whatever it is, it is made text. */
function textOf(message: unknown): string {
  const text = typeof message === "string" ? message : sanitizeJson(message, longestMessage)
  const kept = text.length <= longestMessage ? text : `${text.slice(0, longestMessage)}… (${text.length} characters)`
  return sanitizeJson(kept, longestMessage * 8)
}

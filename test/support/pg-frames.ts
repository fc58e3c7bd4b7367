/*
 * Just enough of PostgreSQL's wire protocol (version 3) to see which statement passes by and when the server is done
 * with it. After the first message of a session, every message is one byte of type, four of length, and the rest.
 */

/** What a client asks in one go: one statement, with the values bound to it (as text, as `pg` sends them). */
export interface Statement {
  readonly text: string
  readonly values: readonly (string | null)[]
}

export interface Frame {
  /** A letter; empty for the first message of a session, which has none. */
  readonly type: string
  readonly bytes: Buffer
}

/** What a server says that goes away: FATAL, 57P01. */
export const terminated: Buffer = (() => {
  const fields = ["SFATAL", "VFATAL", "C57P01", "Mterminating connection due to administrator command"]
  const body = Buffer.from(fields.map((field) => `${field}\0`).join("") + "\0")
  const head = Buffer.from("E....")
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
})()

/** Cuts a stream into messages. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)
  #untyped: boolean

  /** @param opening whether the stream begins with the message that has no type. */
  constructor(opening: boolean) {
    this.#untyped = opening
  }

  /** The messages that are complete with this chunk. */
  read(chunk: Buffer): Frame[] {
    this.#rest = Buffer.concat([this.#rest, chunk])
    const frames: Frame[] = []
    for (let frame = this.#next(); frame; frame = this.#next()) frames.push(frame)
    return frames
  }

  #next(): Frame | undefined {
    const head = this.#untyped ? 0 : 1
    if (this.#rest.length < head + 4) return undefined
    const length = head + this.#rest.readUInt32BE(head)
    if (this.#rest.length < length) return undefined
    const bytes = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    const type = this.#untyped ? "" : String.fromCharCode(bytes[0]!)
    this.#untyped = false
    return { type, bytes }
  }
}

/** Gathers a client's messages into statements. */
export class StatementReader {
  /** Texts of prepared statements by name; the unnamed one too. */
  readonly #prepared = new Map<string, string>()
  #bound: Statement | undefined

  /** Takes one message; the statement, when this message completes the question, so that the server answers. */
  read({ type, bytes }: Frame): Statement | undefined {
    if (type === "Q") return { text: string(bytes, 5).text, values: [] }
    if (type === "P") this.#parse(bytes)
    else if (type === "B") this.#bind(bytes)
    else if (type === "S") {
      const statement = this.#bound
      this.#bound = undefined
      return statement
    }
    return undefined
  }

  #parse(bytes: Buffer): void {
    const name = string(bytes, 5)
    this.#prepared.set(name.text, string(bytes, name.end).text)
  }

  #bind(bytes: Buffer): void {
    const portal = string(bytes, 5)
    const name = string(bytes, portal.end)
    let at = name.end + 2 + 2 * bytes.readUInt16BE(name.end) // past the formats
    const count = bytes.readUInt16BE(at)
    at += 2
    const values = Array.from({ length: count }, () => {
      const length = bytes.readInt32BE(at)
      const start = at + 4
      at = start + Math.max(0, length)
      return length < 0 ? null : bytes.toString("utf8", start, at)
    })
    this.#bound = { text: this.#prepared.get(name.text) ?? "", values }
  }
}

function string(bytes: Buffer, start: number): { text: string; end: number } {
  const end = bytes.indexOf(0, start)
  return { text: bytes.toString("utf8", start, end), end: end + 1 }
}

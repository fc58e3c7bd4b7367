// One connection through the proxy of tcp-proxy.ts, which decides what happens on it.
import type net from "node:net"
import { FrameReader, StatementReader, terminated, type Frame, type Statement } from "./pg-frames.ts"

/** Which statements; with `reply`, only those whose answer contains this text. */
export interface Match {
  readonly statement: (statement: Statement, link: Link) => boolean
  readonly reply?: string
}

export interface Rule extends Match {
  /** The answer is held; or the question is lost, with its connection or without a sign. */
  readonly fault: "hold" | "cut" | "silence"
  met(link: Link, statement: Statement): void
}

const byteOf = (frames: readonly Frame[]) => Buffer.concat(frames.map((frame) => frame.bytes))

/** What a link asks of its proxy. */
export interface Switchboard {
  forget(link: Link): void
  /** Runs now, or after the delay. */
  after(run: () => void): void
  /** The rule that a statement meets; one that is to be lost meets it only once. */
  ruleFor(statement: Statement, link: Link): Rule | undefined
  /** Whether the rule is still to be met: two statements may be under way that match it. */
  wants(rule: Rule): boolean
  done(rule: Rule): void
  /** Whether a link keeps what was said on it. */
  remembers(statement: Statement): boolean
  /** Whether a session that begins now ends with its greeting. */
  diesGreeting(): boolean
}

/** One connection of a client, and ours to the server for it. */
export class Link {
  readonly #proxy: Switchboard
  readonly #client: net.Socket
  readonly #server: net.Socket
  readonly #questions = new FrameReader(true)
  readonly #answers = new FrameReader(false)
  readonly #statements = new StatementReader()
  readonly #said: Statement[] = []
  /** The messages of a question that is not complete yet. */
  #question: Frame[] = []
  /** What is withheld while silent. */
  #unasked: Buffer[] = []
  #unanswered: Buffer[] = []
  #silent = { questions: false, answers: false }
  /** Set while the answer to a statement is withheld. */
  #holding: { rule: Rule; statement: Statement; frames: Frame[]; complete: boolean } | undefined
  #greeted = false
  #open = true

  constructor(proxy: Switchboard, client: net.Socket, server: net.Socket) {
    this.#proxy = proxy
    this.#client = client
    this.#server = server
    client.setNoDelay(true)
    server.setNoDelay(true)
    client.on("data", (chunk) => this.#asked(chunk))
    server.on("data", (chunk) => this.#answered(chunk))
    client.on("error", () => {})
    server.on("error", () => {})
    // A side that goes while the link is silent takes its end with it: the other never hears of it.
    client.on("close", () => this.#silent.questions || this.#end(() => server.end()))
    server.on("close", (broken) => this.#silent.answers || this.#end(() => (broken ? reset(client) : client.end())))
  }

  get open(): boolean {
    return this.#open
  }

  /** Whether a statement containing this text was sent here. */
  said(part: string): boolean {
    return this.#said.some((statement) => statement.text.includes(part))
  }

  /** Ends both sides at once, as a reset. */
  cut(): void {
    this.#end(() => {})
    reset(this.#client)
    reset(this.#server)
  }

  /** Forwards nothing any more, and tells nobody. */
  silence(directions: { questions?: boolean; answers?: boolean } = { questions: true, answers: true }): void {
    this.#silent = { questions: directions.questions === true, answers: directions.answers === true }
  }

  /** What was withheld arrives after all. */
  heal(): void {
    this.#silent = { questions: false, answers: false }
    for (const bytes of this.#unasked.splice(0)) this.#server.write(bytes)
    for (const bytes of this.#unanswered.splice(0)) this.#client.write(bytes)
    if (this.#client.destroyed) this.#end(() => this.#server.end())
    else if (this.#server.destroyed) this.#end(() => reset(this.#client))
  }

  #end(then: () => void): void {
    if (!this.#open) return
    this.#open = false
    this.#proxy.forget(this)
    then()
  }

  #asked(chunk: Buffer): void {
    for (const frame of this.#questions.read(chunk)) {
      this.#question.push(frame)
      const statement = this.#statements.read(frame)
      if (statement && this.#met(statement) === "swallowed") return
      if (statement || !"PBDEC".includes(frame.type) || frame.type === "") this.#ask()
    }
  }

  #ask(): void {
    const bytes = byteOf(this.#question)
    this.#question = []
    if (this.#silent.questions) this.#unasked.push(bytes)
    else this.#proxy.after(() => this.#server.write(bytes))
  }

  #met(statement: Statement): "swallowed" | undefined {
    if (this.#proxy.remembers(statement)) this.#said.push(statement)
    const rule = this.#proxy.ruleFor(statement, this)
    if (!rule) return undefined
    if (rule.fault === "hold") {
      this.#holding = { rule, statement, frames: [], complete: false }
      return undefined
    }
    if (rule.fault === "cut") this.cut()
    else this.silence()
    rule.met(this, statement)
    return "swallowed"
  }

  #answered(chunk: Buffer): void {
    for (const frame of this.#answers.read(chunk)) {
      if (frame.type === "Z" && !this.#greeted) {
        this.#greeted = true
        if (this.#proxy.diesGreeting()) return this.#die(frame)
      }
      if (!this.#holding || this.#holding.complete) this.#answer([frame])
      else this.#hold(this.#holding, frame)
    }
  }

  /** "Ready for query" and the end of the session arrive in one piece. */
  #die(ready: Frame): void {
    this.#end(() => this.#server.end())
    this.#client.end(Buffer.concat([ready.bytes, terminated]))
  }

  /** The answer is complete with "ready for query". Without what the rule looks for, it goes on its way. */
  #hold(holding: { rule: Rule; statement: Statement; frames: Frame[]; complete: boolean }, frame: Frame): void {
    holding.frames.push(frame)
    if (frame.type !== "Z") return
    const { rule, statement, frames } = holding
    if (!this.#proxy.wants(rule) || (rule.reply !== undefined && !byteOf(frames).includes(rule.reply))) {
      this.#holding = undefined
      return this.#answer(frames)
    }
    this.#proxy.done(rule)
    holding.complete = true
    rule.met(this, statement)
  }

  /** Sends on what was held. */
  release(): void {
    const frames = this.#holding?.frames ?? []
    this.#holding = undefined
    this.#answer(frames)
  }

  /** Forgets what was held, and is silent towards the client from now on. */
  drop(): void {
    this.#holding = undefined
    this.silence({ answers: true })
  }

  #answer(frames: readonly Frame[]): void {
    const bytes = byteOf(frames)
    if (this.#silent.answers) this.#unanswered.push(bytes)
    else this.#proxy.after(() => this.#client.write(bytes))
  }
}

export function reset(socket: net.Socket): void {
  if (!socket.destroyed) socket.resetAndDestroy()
}

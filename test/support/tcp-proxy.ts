// A proxy in front of PostgreSQL that breaks connections on order: by cutting them, by falling silent, or by losing
// exactly the one question or answer that a test is about.
import net from "node:net"
import { FrameReader, StatementReader, type Frame, type Statement } from "./pg-frames.ts"
import { within, patience } from "./until.ts"

export type { Statement }

/** Which statements; with `reply`, only those whose answer contains this text. */
export interface Match {
  readonly statement: (statement: Statement, link: Link) => boolean
  readonly reply?: string
}

/** An answer that the server has given in full, and that the client has not got. */
export interface Held {
  readonly statement: Statement
  readonly link: Link
  /** Lets it through after all. */
  release(): void
  /** Loses it, and the connection with it. */
  cut(): void
  /** Loses it without a sign: the connection stays open, and nothing comes back on it any more. */
  drop(): void
}

interface Rule extends Match {
  /** The answer is held; or the question is lost, with its connection or without a sign. */
  readonly fault: "hold" | "cut" | "silence"
  met(link: Link, statement: Statement): void
}

const byteOf = (frames: readonly Frame[]) => Buffer.concat(frames.map((frame) => frame.bytes))

/** One connection of a client, and ours to the server for it. */
export class Link {
  readonly #proxy: TcpProxy
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
  #open = true

  constructor(proxy: TcpProxy, client: net.Socket, server: net.Socket) {
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
    this.#said.push(statement)
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
      if (!this.#holding || this.#holding.complete) this.#answer([frame])
      else this.#hold(this.#holding, frame)
    }
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

export class TcpProxy {
  readonly #listener: net.Server
  readonly #links = new Set<Link>()
  readonly #sockets = new Set<net.Socket>()
  readonly #seen: Statement[] = []
  #rules: Rule[] = []
  #refusing = false
  #silent = false
  #delay = 0

  /** @param url where the database is. */
  private constructor(url: URL, listener: net.Server) {
    this.#listener = listener
    listener.on("connection", (client) => this.#connected(client, url))
  }

  /** Starts one on a free port. */
  static async start(url: string): Promise<TcpProxy> {
    const listener = net.createServer()
    const proxy = new TcpProxy(new URL(url), listener)
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))
    return proxy
  }

  /** The same database, through this proxy. */
  through(url: string): string {
    const changed = new URL(url)
    changed.hostname = "127.0.0.1"
    changed.port = String((this.#listener.address() as net.AddressInfo).port)
    return changed.href
  }

  /** Connections that are open now. */
  get links(): readonly Link[] {
    return [...this.#links]
  }

  /** The open connection that listens for notifications. */
  get listener(): Link | undefined {
    return this.links.find((link) => link.said('listen "'))
  }

  /** How many such statements were sent. */
  count(matches: (statement: Statement) => boolean): number {
    return this.#seen.filter(matches).length
  }

  /** Cuts every connection. */
  cut(): void {
    for (const link of this.links) link.cut()
  }

  /** From now on new connections are refused. */
  refuse(): void {
    this.#refusing = true
  }

  /** From now on nothing is forwarded, on no connection, not even on new ones, and nobody is told. */
  blackhole(): void {
    this.#silent = true
    for (const link of this.links) link.silence()
  }

  /** Everything is as it was: what was withheld arrives, and new connections are accepted. */
  heal(): void {
    this.#refusing = false
    this.#silent = false
    for (const link of this.links) link.heal()
  }

  /** Everything takes this much longer, in each direction, ms. */
  delay(ms: number): void {
    this.#delay = ms
  }

  /**
   * Lets the next matching statement through, and holds the server's whole answer to it. Resolves when the server is done:
   * what the statement did is committed, and the client does not know.
   */
  holdReply(match: Match): Promise<Held> {
    return this.#expect(match, "hold").then(({ link, statement }) => ({
      link,
      statement,
      release: () => link.release(),
      cut: () => link.cut(),
      drop: () => link.drop(),
    }))
  }

  /**
   * Loses the next matching statement on its way to the server: with its connection, or without a sign, so that the server
   * waits for it, its transaction open, until the connection is cut.
   */
  async swallow(match: Omit<Match, "reply">, fault: "cut" | "silence" = "cut"): Promise<Link> {
    return (await this.#expect(match, fault)).link
  }

  #expect(match: Match, fault: Rule["fault"]): Promise<{ link: Link; statement: Statement }> {
    let rule!: Rule
    const met = new Promise<{ link: Link; statement: Statement }>((resolve) => {
      rule = { ...match, fault, met: (link, statement) => resolve({ link, statement }) }
      this.#rules.push(rule)
    })
    const bounded = within(patience, "the statement that the proxy waits for was sent", met)
    bounded.catch(() => {}) // a test that has failed already does not wait for it any more
    return bounded.finally(() => this.done(rule))
  }

  /** Ends everything. */
  async close(): Promise<void> {
    this.#rules = []
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#listener.close(resolve))
  }

  #connected(client: net.Socket, url: URL): void {
    if (this.#refusing) {
      client.on("error", () => {})
      return reset(client)
    }
    const server = net.connect(Number(url.port || 5432), url.hostname)
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.on("close", () => this.#sockets.delete(socket))
    }
    const link = new Link(this, client, server)
    this.#links.add(link)
    if (this.#silent) link.silence()
  }

  // ---- what links ask -----------------------------------------------------------------------------------------------

  /** @internal */
  forget(link: Link): void {
    this.#links.delete(link)
  }

  /** @internal */
  after(run: () => void): void {
    if (this.#delay === 0) run()
    else setTimeout(run, this.#delay)
  }

  /** @internal The rule that a statement meets; one that is to be lost meets it only once. */
  ruleFor(statement: Statement, link: Link): Rule | undefined {
    this.#seen.push(statement)
    const rule = this.#rules.find((one) => one.statement(statement, link))
    if (rule && rule.fault !== "hold") this.done(rule)
    return rule
  }

  /** @internal Whether the rule is still to be met: two statements may be under way that match it. */
  wants(rule: Rule): boolean {
    return this.#rules.includes(rule)
  }

  /** @internal */
  done(rule: Rule): void {
    this.#rules = this.#rules.filter((one) => one !== rule)
  }
}

function reset(socket: net.Socket): void {
  if (!socket.destroyed) socket.resetAndDestroy()
}

// A proxy in front of PostgreSQL that breaks connections on order: by cutting them, by falling silent, or by losing
// exactly the one question or answer that a test is about.
import net from "node:net"
import type { Statement } from "./pg-frames.ts"
import { Link, reset, type Match, type Rule, type Switchboard } from "./tcp-link.ts"
import { within, patience } from "./until.ts"

export type { Statement }

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

export class TcpProxy {
  readonly #listener: net.Server
  readonly #links = new Set<Link>()
  readonly #sockets = new Set<net.Socket>()
  /** Undefined: nothing is remembered, so that a long run needs no more memory than a short one. */
  readonly #seen: Statement[] | undefined
  readonly #switchboard: Switchboard = {
    forget: (link) => void this.#links.delete(link),
    after: (run) => this.#after(run),
    ruleFor: (statement, link) => this.#ruleFor(statement, link),
    wants: (rule) => this.#rules.includes(rule),
    done: (rule) => this.#done(rule),
    remembers: ({ text }) => this.#seen !== undefined || text.startsWith("listen "),
    diesGreeting: () => this.#shortLives > 0 && this.#shortLives-- > 0,
  }
  #rules: Rule[] = []
  #refusing = false
  #silent: { questions: boolean; answers: boolean } | undefined
  #delay = 0
  #shortLives = 0

  /** @param url where the database is. */
  private constructor(url: URL, listener: net.Server, forgetful: boolean) {
    this.#listener = listener
    this.#seen = forgetful ? undefined : []
    listener.on("connection", (client) => this.#connected(client, url))
  }

  /** Starts one on a free port. A forgetful one counts no statements, and its links know only whether they listen. */
  static async start(url: string, { forgetful = false } = {}): Promise<TcpProxy> {
    const listener = net.createServer()
    const proxy = new TcpProxy(new URL(url), listener, forgetful)
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
    return (this.#seen ?? []).filter(matches).length
  }

  /** Cuts every connection. */
  cut(): void {
    for (const link of this.links) link.cut()
  }

  /** From now on new connections are refused. */
  refuse(): void {
    this.#refusing = true
  }

  /** From now on nothing is forwarded (in these directions), on no connection, not even on new ones, and nobody is told. */
  blackhole(directions = { questions: true, answers: true }): void {
    this.#silent = directions
    for (const link of this.links) link.silence(directions)
  }

  /** Waits for no statement any more. */
  disarm(): void {
    this.#rules = []
  }

  /** Everything is as it was: what was withheld arrives, and new connections are accepted. */
  heal(): void {
    this.#refusing = false
    this.#silent = undefined
    for (const link of this.links) link.heal()
  }

  /** So many new sessions are greeted and terminated in one breath, as by a server that is shutting down. */
  terminateNext(sessions: number): void {
    this.#shortLives = sessions
  }

  /** How many of those are still to come. */
  get toTerminate(): number {
    return this.#shortLives
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
    return bounded.finally(() => this.#done(rule))
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
    const link = new Link(this.#switchboard, client, server)
    this.#links.add(link)
    if (this.#silent) link.silence(this.#silent)
  }

  /** The rule that a statement meets; one that is to be lost meets it only once. */
  #ruleFor(statement: Statement, link: Link): Rule | undefined {
    this.#seen?.push(statement)
    const rule = this.#rules.find((one) => one.statement(statement, link))
    if (rule && rule.fault !== "hold") this.#done(rule)
    return rule
  }

  #after(run: () => void): void {
    if (this.#delay === 0) run()
    else setTimeout(run, this.#delay)
  }

  #done(rule: Rule): void {
    this.#rules = this.#rules.filter((one) => one !== rule)
  }
}

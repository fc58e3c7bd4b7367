// A pool between an app and its database: a test can hold a statement up before it is sent or before its reply arrives,
// and lose replies, as a network does.
import type pg from "pg"
import { deferred } from "../../../src/lib/deferred.ts"
import type { PgClient, PgPool } from "../../../src/postgres/adapters/pg.ts"

/** A statement on its way. */
export interface Sent {
  readonly text: string
  readonly values: readonly unknown[]
  send(): Promise<pg.QueryResult>
}

type Match = (sent: Sent) => boolean
type How = (sent: Sent) => Promise<pg.QueryResult>

export interface Held {
  /** It is there. */
  readonly reached: Promise<void>
  release(): void
}

export class Tap {
  readonly pool: PgPool
  /** Every statement that was sent. */
  readonly sent: Sent[] = []
  readonly #gates: (() => void)[] = []
  #rules: { match: Match; how: How }[] = []

  constructor(real: pg.Pool) {
    real.on("connect", (client) => client.on("error", () => {})) // one that breaks in use is a test's doing
    this.pool = {
      options: real.options,
      connect: async () => this.#wrap(await real.connect()),
      query: () => {}, // pools are recognised by having one
      on: (event: "error", listener: (error: Error) => void) => real.on(event, listener),
      end: async () => {},
    } as unknown as PgPool
  }

  #wrap(client: PgClient): PgClient {
    return {
      query: (config) => this.#pass(client, config as { text: string; values?: readonly unknown[] }) as never,
      release: (error) => client.release(error),
    }
  }

  async #pass(client: PgClient, config: { text: string; values?: readonly unknown[] }): Promise<pg.QueryResult> {
    const send = () => client.query(config) as Promise<pg.QueryResult>
    const sent: Sent = { text: config.text, values: config.values ?? [], send }
    this.sent.push(sent)
    const index = this.#rules.findIndex((rule) => rule.match(sent))
    if (index < 0) return send()
    const [rule] = this.#rules.splice(index, 1)
    return rule!.how(sent)
  }

  /** The next statement that matches goes this way instead. */
  next(match: Match, how: How): void {
    this.#rules.push({ match, how })
  }

  /** The next that matches waits before it is sent (or, "after", before its reply arrives) until it is released. */
  hold(when: "before" | "after", match: Match): Held {
    const reached = deferred<void>()
    const gate = deferred<void>()
    this.#gates.push(gate.resolve)
    this.next(match, async ({ send }) => {
      if (when === "before") {
        reached.resolve()
        await gate.promise
        return send()
      }
      const reply = await send()
      reached.resolve()
      await gate.promise
      return reply
    })
    return { reached: reached.promise, release: () => gate.resolve() }
  }

  /** The next that matches is carried out, or not, and its reply is lost. Resolves when that has happened. */
  lose(match: Match, carriedOut = true): Promise<void> {
    const happened = deferred<void>()
    this.next(match, async ({ send }) => {
      if (carriedOut) await send()
      happened.resolve()
      throw lost()
    })
    return happened.promise
  }

  /** Nothing is held up any more, so that what waits can end. */
  releaseAll(): void {
    this.#rules = []
    for (const release of this.#gates) release()
  }

  count(match: Match): number {
    return this.sent.filter(match).length
  }
}

export const lost = (): Error => Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })

/** Matches statements that contain a text. */
export const saying =
  (...parts: string[]): Match =>
  ({ text }) =>
    parts.every((part) => text.includes(part))

/** Calls of `cycle_1` that may claim: the limit is their only number. */
export const claiming: Match = ({ text, values }) =>
  text.includes("cycle_1") && values.some((value) => typeof value === "number" && value > 0)

/** Calls of `cycle_1` that settle something: ids stand before the limit. */
export const settling: Match = ({ text, values }) =>
  text.includes("cycle_1") &&
  values
    .slice(
      3,
      values.findIndex((value) => typeof value === "number"),
    )
    .some((value) => uuids.test(String(value)))

const uuids = /^\{[0-9a-f]{8}-/

/** The reconciler's question: what this incarnation holds according to the database. */
export const reconciling: Match = saying("select id, token, queue, cancel from")

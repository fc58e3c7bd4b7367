import { randomUUID } from "node:crypto"
import { setImmediate as nextTurn } from "node:timers/promises"
import { monotonic } from "../../lib/clock.ts"
import { duration, oneOf, parseOptions, text, type OptionsInput } from "../../lib/options.ts"
import type { Transaction } from "../../model/database.ts"
import { failure } from "../../model/errors.ts"
import { notLeader, type Leader, type Plugin, type PluginContext } from "../../model/plugin.ts"
import { endTerm, holdTerm, renewTerm, takeTerm, termLeft } from "../../postgres/leader.ts"

/*
 * Which one of many workers leads. A term is a random id and a time of the database's clock, in one row.
 *
 *   follower ──take: the row's term is over──► leader ──renew: the row is still ours, and lasts──► leader
 *      ▲                                         │
 *      └── renewal refused · local trust is over · clean stop (the row is ended, and others are told) ──┘
 *
 * The id makes the term, not the worker's name: two processes of one host, or one that was restarted, never share one.
 * Local trust lasts for nine tenths of the lease, from the moment *before* the request that made or renewed the term, on the
 * monotonic clock, so it is over before anybody else can take the term. A process that was frozen finds it over when it looks. What it
 * had under way at that moment may still reach the database: what must not happen twice is fenced by its own rows, never
 * by leadership alone.
 */

export const leadershipOptions = {
  /** `elect`: one of all workers. `always`: this one, whatever others do; for tests and single workers. */
  mode: oneOf(["elect", "always"], {
    default: "elect",
    doc: "`elect`: one of all workers. `always`: this one, whatever others do; for tests and single workers.",
  }),
  /** How long a term lasts without a renewal: so long a killed leader is missed at most. */
  lease: duration({ default: "15s", min: 300, max: 3_600_000, doc: "How long a term lasts without a renewal." }),
  /** How often it is renewed. At most a third of the lease. */
  every: duration({ default: "5s", min: 50, doc: "How often it is renewed; at most a third of the lease." }),
  name: text({ default: "leadership", doc: "Always `leadership`: others find it by this name." }),
}

export type LeadershipOptions = OptionsInput<typeof leadershipOptions>

const hints = { poll_interval: "every", timeout: "lease", interval: "every", ttl: "lease" }

/** Leadership of one worker: what its plugin finds out, and what others read. */
class Term implements Leader {
  #names: PluginContext["names"] | undefined
  #term: string | undefined
  #until = 0
  #over: NodeJS.Timeout | undefined
  readonly #changed = new Set<() => void>()

  get leads(): boolean {
    return this.#term !== undefined && monotonic() < this.#until
  }

  get term(): string | undefined {
    return this.leads ? this.#term : undefined
  }

  async hold(tx: Transaction): Promise<void> {
    const { term } = this
    if (term !== undefined && this.#until === Infinity) return // mode "always": there is nobody to keep out
    if (term !== undefined && this.#names && (await holdTerm(tx, this.#names, term))) return
    throw notLeader("This worker does not lead (any more); its successor does what was asked for.")
  }

  /** Where its row is. */
  open(names: PluginContext["names"]): void {
    this.#names = names
  }

  onChange(changed: () => void): () => void {
    const own = () => changed()
    this.#changed.add(own)
    return () => void this.#changed.delete(own)
  }

  trust(term: string, until: number): void {
    const fresh = !this.leads || this.#term !== term
    this.#term = term
    this.#until = until
    clearTimeout(this.#over)
    // Followers must hear of it when the renewals have stopped coming.
    if (until !== Infinity) this.#over = setTimeout(() => this.#tell(), until - monotonic() + 1)
    if (fresh) this.#tell()
  }

  end(): void {
    clearTimeout(this.#over)
    if (this.#term === undefined) return
    this.#term = undefined
    this.#tell()
  }

  #tell(): void {
    for (const changed of [...this.#changed]) changed()
  }
}

/** The plugin that makes one worker the leader. @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function leadership(given?: LeadershipOptions): Plugin & { leaderFor(worker: string): Leader } {
  const options = parseOptions("leadership", leadershipOptions, given, hints)
  if (options.lease < 3 * options.every) {
    const text = `leadership.lease (${options.lease} ms) must be at least three renewals (3 × ${options.every} ms), or one lost renewal loses the term.`
    throw failure("MILLRACE_BAD_OPTION", text)
  }
  // One plugin object may serve several workers of a process.
  const terms = new Map<string, Term>()
  const termOf = (worker: string): Term => {
    const term = terms.get(worker) ?? new Term()
    terms.set(worker, term)
    return term
  }
  return {
    name: options.name,
    leaderFor: termOf,
    run: async (ctx, signal) => {
      const term = termOf(ctx.worker.id)
      term.open(ctx.names)
      if (options.mode === "always") return always(ctx, term, options.every)
      const removers = [
        ctx.hub.on(free, () => ctx.wakeUp()),
        term.onChange(() => term.leads || ctx.wakeUp()), // its trust is over: said at once, not at the next renewal
      ]
      try {
        await follow(ctx, signal, term, options)
      } finally {
        for (const remove of removers) remove()
        await handOver(ctx, term)
      }
    },
  }
}

/** Share of the lease that a leader trusts in: what it still has under way when trust ends is done before the term is. */
const trusted = 0.9

/** Tells everybody that the term is free. */
const free = "leadership.free"

async function always(ctx: PluginContext, term: Term, every: number): Promise<void> {
  const name = randomUUID()
  term.trust(name, Infinity)
  ctx.hub.emit("leadership.gained", { worker: ctx.worker.id, term: name })
  do ctx.hub.emit("leadership.loop", { worker: ctx.worker.id, term: name })
  while (await ctx.sleep(every))
  term.end()
}

async function follow(
  ctx: PluginContext,
  signal: AbortSignal,
  term: Term,
  { lease, every }: { lease: number; every: number },
): Promise<void> {
  while (!signal.aborted) {
    const name = randomUUID()
    const sent = monotonic()
    const taken = await takeTerm(ctx.db, ctx.names, name, ctx.worker.id, lease).catch((error: unknown) => {
      ctx.log.debug("nobody could be elected now", { error: String(error) })
      return undefined
    })
    if (taken === undefined) await ctx.sleep(Math.min(every, 500) * (1 + Math.random()))
    else if (taken) {
      term.trust(name, sent + lease * trusted)
      ctx.hub.emit("leadership.gained", { worker: ctx.worker.id, term: name })
      await nextTurn() // the leader's plugins start first, so that they hear of this round as well
      ctx.hub.emit("leadership.loop", { worker: ctx.worker.id, term: name })
      ctx.log.debug(`worker ${ctx.worker.id} leads`, { term: name })
      await lead(ctx, signal, term, name, { lease, every })
    } else {
      // When the present term is over somebody takes it; a little chance keeps all from asking at once.
      const left = await termLeft(ctx.db, ctx.names)
      await ctx.sleep(Math.max(20, Math.min(every, left + 10)) + Math.random() * Math.min(100, every / 10))
    }
  }
}

/** Renews the term until it is lost, or the plugin is to stop. */
async function lead(
  ctx: PluginContext,
  signal: AbortSignal,
  term: Term,
  name: string,
  { lease, every }: { lease: number; every: number },
): Promise<void> {
  while (await ctx.sleep(Math.min(every, lease / 3))) {
    const sent = monotonic()
    if (!term.leads) break
    const renewed = await renewTerm(ctx.db, ctx.names, name, lease).catch((error: unknown) => {
      ctx.log.warn("the term could not be renewed; trying again until it is over", { error: String(error) })
      return undefined
    })
    if (renewed === false) break
    if (renewed === undefined) continue
    term.trust(name, sent + lease * trusted)
    ctx.hub.emit("leadership.renewed", { worker: ctx.worker.id, term: name })
    ctx.hub.emit("leadership.loop", { worker: ctx.worker.id, term: name })
  }
  if (signal.aborted) return
  term.end()
  ctx.hub.emit("leadership.lost", { worker: ctx.worker.id, term: name })
  ctx.log.warn(`worker ${ctx.worker.id} leads no more`, { term: name })
}

/** On a clean stop the next leader need not wait for the lease. */
async function handOver(ctx: PluginContext, term: Term): Promise<void> {
  const name = term.term
  term.end() // first: what runs here as the leader stops before another may begin
  if (name === undefined) return
  ctx.hub.emit("leadership.lost", { worker: ctx.worker.id, term: name })
  try {
    if (await endTerm(ctx.db, ctx.names, name)) ctx.hub.emit(free, {}, { cluster: true })
  } catch (error) {
    ctx.log.debug("the term could not be handed over; it runs out", { error: String(error) })
  }
}

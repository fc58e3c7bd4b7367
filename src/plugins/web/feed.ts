import { createHash, randomUUID } from "node:crypto"
import type { Context } from "../../client/context.ts"
import { abortableSleep, Signal } from "../../lib/signal.ts"
import { describe } from "../../lib/error.ts"

/*
 * What is shown, as it changes. Each topic has one source per process, however many look at it: it reads the topic when
 * something happened, and now and then, and tells what differs. Messages have numbers that only grow; the newest are kept,
 * so that a client whose connection broke goes on where it was. Where that is not possible it is told to begin anew.
 */

export type Data = Readonly<Record<string, unknown>>

/** One thing to look at. */
export interface Topic {
  /** As the client calls it. */
  readonly name: string
  /** The same for all who may see the same. */
  readonly key: string
  readonly permission: string
  /** How it is now, as a flat record of what may change apart. Undefined: it has gone. */
  readonly read?: () => Promise<Data | undefined>
  /** Whether a notice means that it may have changed. */
  readonly wakes?: (kind: string, about: string) => boolean
  /** Longest time between two looks, ms. */
  readonly every?: number
  /** Instead of reading: events of the hub that may be seen. */
  readonly hears?: (name: string, body: unknown) => boolean
}

export interface Message {
  /** `EPOCH.NUMBER.TOPICS`: the last part stands for the topics, since only with the same ones can a client go on. */
  readonly id: string
  readonly event: "snapshot" | "delta" | "events" | "reset" | "gone"
  readonly topic?: string
  readonly data: unknown
}

export type Listener = (message: Message) => void

interface Kept {
  readonly n: number
  readonly key: string
  readonly event: Message["event"]
  readonly data: unknown
}

const mostKept = 2_000
/** At most four messages per second and topic. */
const gap = 250
/** A source stays this long when nobody looks any more, so that a client that comes back finds its history. */
const lingers = 30_000

export class Feed {
  readonly #context: Context
  readonly #epoch = randomUUID().slice(0, 8)
  #n = 0
  #kept: Kept[] = []
  readonly #sources = new Map<string, Source>()

  constructor(context: Context) {
    this.#context = context
  }

  /** Follows topics from now on, or from after a message; returns its own remover. */
  subscribe(topics: readonly Topic[], last: string | undefined, listener: Listener): () => void {
    const mark = markOf(topics)
    const id = (n: number): string => `${this.#epoch}.${n}.${mark}`
    const since = last === undefined ? undefined : this.#numberOf(last, mark)
    const sources = topics.map((topic) => ({ topic, source: this.#source(topic) }))
    const goesOn = ({ source }: (typeof sources)[number]): boolean =>
      since !== undefined && source.since <= since && this.#covers(since)
    const lost = last === undefined ? [] : sources.filter((one) => !goesOn(one)).map(({ topic }) => topic.name)
    if (lost.length > 0) listener({ id: id(this.#n), event: "reset", data: { topics: lost } })
    this.#replay(
      sources.filter(goesOn).map(({ topic }) => topic),
      since,
      id,
      listener,
    )
    const removers = sources.map((one) => {
      const { name } = one.topic
      return one.source.add(
        ({ n, event, data }) => listener({ id: id(n), event, topic: name, data }),
        !goesOn(one),
        (data) => listener({ id: id(this.#n), event: data ? "snapshot" : "gone", topic: name, data: data ?? null }),
      )
    })
    return () => {
      for (const remove of removers) remove()
    }
  }

  /** What was told of these topics after a number. */
  #replay(topics: readonly Topic[], since: number | undefined, id: (n: number) => string, listener: Listener): void {
    const names = new Map(topics.map(({ key, name }) => [key, name]))
    for (const { n, key, event, data } of this.#kept) {
      const name = names.get(key)
      if (name !== undefined && n > since!) listener({ id: id(n), event, topic: name, data })
    }
  }

  close(): void {
    for (const source of this.#sources.values()) source.end()
    this.#sources.clear()
  }

  #numberOf(id: string, mark: string): number | undefined {
    const [epoch, n = "", topics] = id.split(".")
    return epoch === this.#epoch && topics === mark && /^\d{1,15}$/.test(n) ? Number(n) : undefined
  }

  /** Whether nothing after this number has been forgotten. */
  #covers(n: number): boolean {
    return n <= this.#n && (this.#kept.length < mostKept || this.#kept[0]!.n <= n + 1)
  }

  #source(topic: Topic): Source {
    const known = this.#sources.get(topic.key)
    if (known) return known
    const publish = (event: Message["event"], data: unknown): Kept => {
      const kept: Kept = { n: ++this.#n, key: topic.key, event, data }
      this.#kept.push(kept)
      if (this.#kept.length > mostKept * 1.5) this.#kept = this.#kept.slice(-mostKept)
      return kept
    }
    const gone = () => void this.#sources.delete(topic.key)
    const source = new Source(this.#context, topic, () => this.#n, publish, gone)
    this.#sources.set(topic.key, source)
    return source
  }
}

const markOf = (topics: readonly Topic[]): string =>
  createHash("sha256")
    .update(JSON.stringify(topics.map((topic) => topic.key).toSorted()))
    .digest("base64url")
    .slice(0, 8)

type Tell = (kept: Kept) => void

/** One topic, as long as somebody looks, and a little longer. */
class Source {
  /** From this number on every change is told: that of the first look. */
  since = Infinity
  readonly #context: Context
  readonly #topic: Topic
  readonly #publish: (event: Message["event"], data: unknown) => Kept
  readonly #gone: () => void
  readonly #listeners = new Set<Tell>()
  readonly #news = new Signal()
  readonly #ended = new AbortController()
  readonly #first: Promise<void>
  #state: Data | undefined
  #exists = true
  #looked = false
  #idle: NodeJS.Timeout | undefined

  constructor(
    context: Context,
    topic: Topic,
    now: () => number,
    publish: (event: Message["event"], data: unknown) => Kept,
    gone: () => void,
  ) {
    this.#context = context
    this.#topic = topic
    this.#publish = publish
    this.#gone = gone
    let told!: () => void
    this.#first = new Promise((resolve) => {
      told = () => {
        if (this.#looked) return
        this.#looked = true
        this.since = now()
        resolve()
      }
    })
    void (topic.hears ? this.#hear(told) : this.#watch(told))
  }

  /** `snapshot` is called once, before any change is told, when it is wanted. */
  add(listener: Tell, wanted: boolean, snapshot: (data: Data | undefined) => void): () => void {
    clearTimeout(this.#idle)
    let open = true
    const begin = () => {
      if (!open) return
      if (wanted) snapshot(this.#exists ? (this.#state ?? {}) : undefined)
      this.#listeners.add(listener)
    }
    // Until the first look nothing can have changed. After it, nothing may come between the replay and this.
    if (this.#looked) begin()
    else void this.#first.then(begin)
    return () => {
      open = false
      this.#listeners.delete(listener)
      if (this.#listeners.size > 0) return
      clearTimeout(this.#idle)
      this.#idle = setTimeout(() => this.end(), lingers)
      this.#idle.unref()
    }
  }

  end(): void {
    clearTimeout(this.#idle)
    this.#ended.abort()
    this.#gone()
  }

  #tell(event: Message["event"], data: unknown): void {
    const kept = this.#publish(event, data)
    for (const listener of this.#listeners) listener(kept)
  }

  async #watch(told: () => void): Promise<void> {
    const { signal } = this.#ended
    const { read, wakes, every = 1_000 } = this.#topic
    const unsubscribe = this.#context.notices.subscribe({
      notice: ({ kind, about }) => void (wakes?.(kind, about) && this.#news.notify()),
      resync: () => this.#news.notify(),
    })
    try {
      while (!signal.aborted) {
        await this.#look(read!)
        told()
        await abortableSleep(gap, signal)
        await this.#news.wait(every, signal)
      }
    } finally {
      unsubscribe()
      told()
    }
  }

  async #look(read: () => Promise<Data | undefined>): Promise<void> {
    try {
      const next = await read()
      if (this.#ended.signal.aborted) return
      const first = this.#state === undefined
      if (!next) {
        if (this.#exists && !first) this.#tell("gone", null)
        this.#exists = false
        return
      }
      const delta = this.#exists && this.#state ? difference(this.#state, next) : undefined
      const back = !this.#exists
      this.#exists = true
      this.#state = next
      if (back) this.#tell("snapshot", next)
      else if (delta) this.#tell("delta", delta)
    } catch (error) {
      // The database may be away for a while; what is shown stays, and says how old it is.
      this.#context.log.debug("web: a topic could not be read", { topic: this.#topic.name, error: describe(error) })
    }
  }

  /** Events of the hub, gathered so that there are at most four messages per second. */
  async #hear(told: () => void): Promise<void> {
    const { signal } = this.#ended
    let events: { name: string; body: unknown; at: number }[] = []
    const remove = this.#context.hub.onAny(({ name, body }) => {
      if (!this.#topic.hears!(name, body)) return
      events.push({ name, body, at: Date.now() })
      if (events.length > 500) events.shift()
      this.#news.notify()
    })
    told()
    try {
      while (!signal.aborted) {
        await this.#news.wait(60_000, signal)
        if (events.length > 0) {
          const batch = events
          events = []
          this.#tell("events", batch)
          await abortableSleep(gap, signal)
        }
      }
    } finally {
      remove()
    }
  }
}

/** What differs between two records; undefined: nothing. */
function difference(before: Data, after: Data): { set: Data; removed: string[] } | undefined {
  const set: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(after)) {
    if (!Object.hasOwn(before, key) || JSON.stringify(before[key]) !== JSON.stringify(value)) set[key] = value
  }
  const removed = Object.keys(before).filter((key) => !Object.hasOwn(after, key))
  return Object.keys(set).length === 0 && removed.length === 0 ? undefined : { set, removed }
}

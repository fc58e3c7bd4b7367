import { randomUUID } from "node:crypto"
import { milliseconds } from "../lib/duration.ts"
import { describe } from "../lib/error.ts"
import { encodeJson } from "../lib/json.ts"
import { failure } from "../model/errors.ts"
import type { BodyOf, EmitOptions, Hub, HubEvent, HubEventName, WaitForOptions } from "../model/hub.ts"
import type { Logger } from "../model/log.ts"
import type { Notices } from "./notices.ts"

type Handler = (event: HubEvent) => unknown

interface Sent {
  /** Which hub. */
  readonly from: string
  readonly name: string
  readonly body: unknown
}

/** PostgreSQL takes 8,000 bytes per notification. */
const largest = 6_000

/** The hub of one app: handlers by name, and a bridge to other processes over the notification channel. */
export class EventHub implements Hub {
  readonly #handlers = new Map<string, Set<Handler>>()
  readonly #any = new Set<Handler>()
  readonly #notices: Notices
  readonly #log: Logger
  readonly #self = randomUUID().slice(0, 8)
  #count = 0
  #listening: (() => void) | undefined

  constructor(notices: Notices, log: Logger) {
    this.#notices = notices
    this.#log = log
  }

  /** Whether anybody hears this event here: what nobody hears need not be made. */
  hears(name: string): boolean {
    return this.#any.size > 0 || (this.#handlers.get(name)?.size ?? 0) > 0
  }

  on<Name extends HubEventName>(name: Name, handler: (event: HubEvent<Name>) => unknown): () => void {
    this.#listen()
    const handlers = this.#handlers.get(name) ?? new Set()
    this.#handlers.set(name, handlers)
    // A handler of its own for each call, so that one function may hear an event twice and be removed once.
    const own: Handler = (event) => handler(event as HubEvent<Name>)
    handlers.add(own)
    return () => void handlers.delete(own)
  }

  once<Name extends HubEventName>(name: Name, handler: (event: HubEvent<Name>) => unknown): () => void {
    const remove = this.on(name, (event) => {
      remove()
      return handler(event)
    })
    return remove
  }

  onAny(handler: (event: HubEvent) => unknown): () => void {
    this.#listen()
    const own: Handler = (event) => handler(event)
    this.#any.add(own)
    return () => void this.#any.delete(own)
  }

  emit<Name extends HubEventName>(name: Name, body: BodyOf<Name>, { cluster = false }: EmitOptions = {}): void {
    if (cluster) this.#send(name, body)
    this.#tell({ name, body, remote: false })
  }

  async waitFor<Name extends HubEventName>(
    names: Name | readonly Name[],
    { timeout, signal }: WaitForOptions = {},
  ): Promise<HubEvent<Name>> {
    const wanted = (Array.isArray(names) ? names : [names]) as readonly Name[]
    const ms = timeout === undefined ? undefined : milliseconds(timeout, "waitFor.timeout")
    signal?.throwIfAborted()
    const removers: (() => void)[] = []
    try {
      return await new Promise<HubEvent<Name>>((resolve, reject) => {
        for (const name of wanted) removers.push(this.on(name, resolve))
        const onAbort = () => reject(signal!.reason as Error)
        signal?.addEventListener("abort", onAbort, { once: true })
        removers.push(() => signal?.removeEventListener("abort", onAbort))
        if (ms === undefined) return
        const timer = setTimeout(() => reject(nothing(wanted, ms)), ms)
        removers.push(() => clearTimeout(timer))
      })
    } finally {
      for (const remove of removers) remove()
    }
  }

  close(): void {
    this.#listening?.()
    this.#handlers.clear()
    this.#any.clear()
  }

  #tell(event: HubEvent): void {
    const handlers = [...(this.#handlers.get(event.name) ?? []), ...this.#any]
    for (const handler of handlers) {
      try {
        const returned = handler(event)
        if (returned instanceof Promise) returned.catch((error: unknown) => this.#threw(event, error))
      } catch (error) {
        this.#threw(event, error)
      }
    }
  }

  #threw(event: HubEvent, error: unknown): void {
    this.#log.error(`a handler of the event "${event.name}" threw`, { error: describe(error) })
  }

  #send(name: string, body: unknown): void {
    const json = encodeJson({ from: this.#self, n: ++this.#count, name, body: body ?? null })
    if ("problem" in json) {
      throw failure(
        "MILLRACE_BAD_JSON",
        `The event "${name}" cannot travel as JSON: ${json.path ?? "$"} ${json.problem}.`,
      )
    }
    if (json.bytes > largest) {
      const text = `The event "${name}" has ${json.bytes} bytes of JSON, over the limit of ${largest}: send an id, and let receivers read the rest.`
      throw failure("MILLRACE_EVENT_TOO_LARGE", text)
    }
    this.#notices.send({ kind: "event", about: json.text })
  }

  /** Hears other processes from the first handler on. */
  #listen(): void {
    this.#listening ??= this.#notices.subscribe({
      notice: ({ kind, about }) => {
        if (kind === "event") this.#heard(about)
      },
    })
  }

  #heard(text: string): void {
    const heard = JSON.parse(text) as Sent | Sent[]
    for (const { from, name, body } of Array.isArray(heard) ? heard : [heard]) {
      if (from !== this.#self) this.#tell({ name, body, remote: true })
    }
  }
}

const nothing = (names: readonly string[], ms: number) =>
  failure("MILLRACE_TIMEOUT", `None of the events ${names.map((name) => `"${name}"`).join(", ")} came within ${ms} ms.`)

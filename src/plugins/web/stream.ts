import type { Message, Topic } from "./feed.ts"
import { safeJson } from "./problem.ts"
import { allowed, type Site } from "./site.ts"
import type { Known } from "./auth.ts"

/*
 * What server-sent events and WebSockets have in common: topics that a visitor may follow, a heartbeat, and a look, while
 * the connection is open, whether the visitor is still who it was and may still see what it sees.
 */

export interface Following {
  end(): void
}

export interface Sink {
  message(message: Message): void
  heartbeat(): void
  /** Nothing more comes. */
  end(reason: string): void
}

/** Follows until `end` is called, or the visitor may not any more. */
export function follow(
  site: Site,
  request: Request,
  known: Known,
  topics: readonly Topic[],
  last: string | undefined,
  sink: Sink,
): Following {
  let open = true
  const unsubscribe = site.feed.subscribe(topics, last, (message) => {
    if (open) sink.message(message)
  })
  const close = (reason?: string) => {
    if (!open) return
    open = false
    clearInterval(timer)
    unsubscribe()
    if (reason !== undefined) sink.end(reason)
  }
  const timer = setInterval(() => {
    if (open) sink.heartbeat()
    void stillAllowed(site, request, known, topics).then(
      (fine) => (fine ? undefined : close("You may not see this any more.")),
      () => {}, // the database may be away for a while; the next look is soon
    )
  }, site.options.heartbeat)
  timer.unref()
  return { end: () => close() }
}

/** Whether a visitor may follow all of these topics. */
export async function mayFollow(site: Site, { visitor }: Known, topics: readonly Topic[]): Promise<string | undefined> {
  for (const { permission } of topics) if (!(await allowed(site, { visitor, permission }))) return permission
  return undefined
}

async function stillAllowed(site: Site, request: Request, known: Known, topics: readonly Topic[]): Promise<boolean> {
  const now = await site.auth.identify(request)
  if (!now || now instanceof Response) return false
  if (JSON.stringify(now.visitor) !== JSON.stringify(known.visitor)) return false
  return (await mayFollow(site, now, topics)) === undefined
}

/** One message as an event of a stream. */
export const eventText = ({ id, event, topic, data }: Message): string =>
  `id: ${id}\nevent: ${event}\ndata: ${safeJson({ topic: topic ?? null, data })}\n\n`

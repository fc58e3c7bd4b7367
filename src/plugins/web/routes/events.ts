import { forbidden } from "../problem.ts"
import type { Call, Route } from "../route.ts"
import { eventText, follow, mayFollow, type Following } from "../stream.ts"
import { topicsOf } from "../topics.ts"

/** Bytes that may wait for a slow reader; one that is slower is cut off, and comes back with the number of its last message. */
const mostWaiting = 1_048_576

async function events(call: Call): Promise<Response> {
  const { site, request, known } = call
  const topics = await topicsOf(call)
  const missing = await mayFollow(site, known, topics)
  if (missing !== undefined) throw forbidden(missing)
  if (request.method === "HEAD") return new Response(null, { headers })
  const last = request.headers.get("last-event-id") ?? call.query.get("lastEventId") ?? undefined
  const encoder = new TextEncoder()
  let following: Following | undefined
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const send = (text: string) => {
          try {
            controller.enqueue(encoder.encode(text))
            if ((controller.desiredSize ?? 0) < -mostWaiting) finish()
          } catch {
            following?.end() // the reader has gone
          }
        }
        const finish = () => {
          following?.end()
          try {
            controller.close()
          } catch {
            // closed already
          }
        }
        send("retry: 1000\n\n")
        following = follow(site, request, known, topics, last, {
          message: (message) => send(eventText(message)),
          heartbeat: () => send(": heartbeat\n\n"),
          end: (reason) => {
            send(`event: end\ndata: ${JSON.stringify({ reason })}\n\n`)
            finish()
          },
        })
        request.signal?.addEventListener("abort", finish, { once: true })
      },
      cancel: () => following?.end(),
    },
    new ByteLengthQueuingStrategy({ highWaterMark: 65_536 }),
  )
  return new Response(body, { headers })
}

const headers = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no",
}

export const eventRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/events",
    permission: "events:read",
    summary: "Server-sent events: a snapshot of each topic, then what changes. As a WebSocket under the same address",
    query: {
      topics: "overview, queues, workers, events, job:ID, jobs:QUERY, operation:ID, separated by commas",
      topic: "One topic; may be given several times, and hold commas",
      lastEventId: "For WebSockets: where to go on, as the header Last-Event-ID",
    },
    produces: "text/event-stream",
    handle: events,
  },
]

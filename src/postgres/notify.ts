import type { Connection } from "../model/database.ts"
import { textArray, type Names } from "./sql.ts"

/**
 * What travels on an installation's channel. Never job data: a queue's name, or an id that somebody waits for or that is
 * to be cancelled; the receiver reads the rest from the tables.
 */
export type Notice =
  /** A queue has ready jobs. */
  | { readonly kind: "ready"; readonly about: string }
  /** A queue has jobs for later. */
  | { readonly kind: "later"; readonly about: string }
  /** A queue was declared, changed, paused, resumed or deleted. */
  | { readonly kind: "queue"; readonly about: string }
  /** A job was asked to be cancelled. */
  | { readonly kind: "cancel"; readonly about: string }
  /** A job that somebody waits for has finished. */
  | { readonly kind: "done"; readonly about: string }
  /** Somebody follows a job: whoever holds it tells of its news for a while. */
  | { readonly kind: "follow"; readonly about: string }
  /** A job that somebody follows has written, told its progress, or ended. */
  | { readonly kind: "news"; readonly about: string }
  /** An event for the hubs of all processes, or a list of them: JSON. */
  | { readonly kind: "event"; readonly about: string }
  /** Only proves that notifications arrive. */
  | { readonly kind: "test"; readonly about: string }

const letters = {
  ready: "r",
  later: "l",
  queue: "q",
  cancel: "c",
  done: "d",
  follow: "f",
  news: "n",
  event: "e",
  test: "t",
} as const
const kinds = new Map(Object.entries(letters).map(([kind, letter]) => [letter, kind as Notice["kind"]]))

export const encodeNotice = ({ kind, about }: Notice): string => `${letters[kind]} ${about}`

/** Undefined for what we did not send. */
export function decodeNotice(payload: string): Notice | undefined {
  const kind = kinds.get(payload[0] as "r")
  return kind && payload[1] === " " ? { kind, about: payload.slice(2) } : undefined
}

export async function sendNotices(db: Connection, names: Names, notices: readonly Notice[]): Promise<void> {
  await db.query("select pg_notify($1, n) from unnest($2::text[]) as n", [
    names.channel,
    textArray(notices.map(encodeNotice)),
  ])
}

import type { AlertEvent } from "./events.ts"

/** What a channel is told. */
export interface Notification {
  /** It fires, or it is over. */
  readonly kind: "firing" | "resolved"
  readonly event: AlertEvent
  /** The installation's schema. */
  readonly schema: string
}

/** One delivery. It is tried again until it succeeds, so it may arrive twice: with the same id. */
export interface Delivery {
  /** The same at every attempt: of the job that delivers. */
  readonly id: string
  readonly attempt: number
  /** Fires when the time for this attempt is over. */
  readonly signal: AbortSignal
}

/** Where notifications go: `webhook(…)`, `email(…)`, or one of your own. What it throws is tried again later. */
export interface AlertChannel {
  /** Unique; rules and jobs know it by its name. */
  readonly name: string
  send(notification: Notification, delivery: Delivery): Promise<void>
}

/** One line: `firing (critical): no worker: No live worker runs the queue "mail".` */
export const subjectLine = ({ kind, event }: Notification): string =>
  `${kind} (${event.severity}): ${event.rule}: ${event.text}`

import { defineJob, type Handler } from "../../model/definition.ts"
import type { AlertChannel, Notification } from "./channel.ts"

/** A notification on its way to one channel: a job, with the retries of one. */
export interface DeliveryPayload {
  readonly channel: string
  readonly notification: Notification
}

/** In a queue of its own: an alert about a backlog must not wait behind it. */
export const deliveryQueue = "alerts"

export const deliver = defineJob<DeliveryPayload>({
  name: "millrace.alert",
  queue: deliveryQueue,
  maxAttempts: 20,
  backoff: { initial: "5s", factor: 2, max: "10m" },
  timeout: "1m",
  retention: "7d",
})

const dates = ["beganAt", "firedAt", "resolvedAt", "acknowledgedAt"] as const

/** Times are dates again. */
function revived(notification: Notification): Notification {
  const { event } = notification
  const times = dates.flatMap((name) => (event[name] === undefined ? [] : [[name, new Date(event[name])] as const]))
  return { ...notification, event: { ...event, ...Object.fromEntries(times) } }
}

export const deliveryHandler = (channels: readonly AlertChannel[]): Handler =>
  deliver.handler(async ({ channel: name, notification }, job) => {
    const channel = channels.find((one) => one.name === name)
    if (!channel) throw new Error(`This worker has no channel "${name}"; another one may have it.`)
    await channel.send(revived(notification), { id: job.id, attempt: job.attempt, signal: job.signal })
  })

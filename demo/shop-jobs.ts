// The jobs of a small shop, of every kind that there is to see: quick and slow, with progress and logs, failing now and
// then or always, later, in a hurry, one at a time. Loads no handler code.
import { defineJob, type QueueOptions } from "millrace"
import { z } from "zod"

const customer = z.object({ id: z.int(), name: z.string(), email: z.string() })

export const sendMail = defineJob({
  name: "send-mail",
  queue: "mail",
  payload: z.object({ template: z.string(), customer }),
  maxAttempts: 4,
  backoff: { initial: "2s", max: "20s" },
})

export const chargeCard = defineJob({
  name: "charge-card",
  queue: "billing",
  payload: z.object({ order: z.int(), customer, amount: z.number(), currency: z.string() }),
  result: z.object({ charge: z.string() }),
  maxAttempts: 3,
  backoff: { initial: "3s", max: "30s" },
})

export const resizeImage = defineJob({
  name: "resize-image",
  queue: "media",
  payload: z.object({ url: z.string(), widths: z.array(z.int()) }),
  result: z.object({ bytes: z.int() }),
})

export const importFeed = defineJob({
  name: "import-feed",
  queue: "imports",
  payload: z.object({ supplier: z.string(), rows: z.int() }),
  result: z.object({ imported: z.int(), skipped: z.int() }),
  maxAttempts: 2,
})

export const callWebhook = defineJob({
  name: "call-webhook",
  queue: "webhooks",
  payload: z.object({ url: z.string(), event: z.string(), order: z.int() }),
  maxAttempts: 6,
  backoff: { initial: "4s", max: "1m" },
})

/** Nobody has a handler for it: it shows what the dashboard says about such a job. */
export const printLabel = defineJob({ name: "print-label", queue: "labels", payload: z.object({ order: z.int() }) })

export const shopQueues: readonly QueueOptions[] = [
  { name: "mail", concurrency: 6 },
  { name: "billing", concurrency: 2 },
  { name: "media", concurrency: 3 },
  { name: "imports", concurrency: 1 },
  { name: "webhooks", concurrency: 4 },
  { name: "warehouse", concurrency: 4 },
  { name: "labels", concurrency: 1, tags: ["has=printer"] },
]

// What both sides share: the job's name, what goes in, what comes out. Loads no handler code.
import { defineJob, discard, type QueueOptions } from "millrace"
import { z } from "zod"
import { isHopeless } from "./measure.ts"

export const attempts = 3
export const patience = { initial: "100ms", max: "1s" } as const

export const measure = defineJob({
  name: "measure",
  queue: "files",
  payload: z.object({ folder: z.string(), file: z.string() }),
  result: z.object({ sha256: z.string(), bytes: z.int(), lines: z.int(), gzip: z.int() }),
  maxAttempts: attempts,
  backoff: patience,
  // A file that is gone or closed to us fails at once; anything else, such as a file that changes just now, is retried.
  onError: (error) => (isHopeless(error) ? discard(error) : undefined),
})

/**
 * Enough jobs at a time to keep libuv's threads busy while others wait for the disk, and few held beyond these, so that
 * no worker takes more than its share of a small folder.
 */
export const queue: QueueOptions = { name: "files", concurrency: 8, claimAhead: 8 }

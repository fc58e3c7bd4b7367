// A module for the command line: `millrace worker --app ./app.ts`, `millrace job push greet '{"name":"Ada"}' --app ./app.ts`.
// It exports the app, and for workers what they handle.
import { setTimeout as sleep } from "node:timers/promises"
import { defineJob, Millrace } from "millrace"
import type { WorkerOptions } from "millrace/worker"
import { z } from "zod"

export const greet = defineJob({
  name: "greet",
  payload: z.object({ name: z.string().min(1), steps: z.number().int().min(0).default(3) }),
  maxAttempts: 1,
})

export const app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false })

export const worker: WorkerOptions = {
  handlers: [
    greet.handler(async ({ name, steps }, job) => {
      for (let step = 1; step <= steps; step++) {
        job.log(`step ${step} of ${steps}`, { name })
        job.progress(step / steps)
        await sleep(5, undefined, { signal: job.signal })
      }
      if (name === "nobody") throw new Error("nobody cannot be greeted")
      return { text: `hello ${name}` }
    }),
  ],
}

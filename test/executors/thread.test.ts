import { describe } from "vitest"
import { conformance } from "./conformance.ts"
import { handlers, handling } from "./handling.ts"
import { behave } from "./jobs.ts"

describe("thread", () => {
  const queue = { executor: "thread", concurrency: 2 }
  conformance({
    queue,
    worker: { handlers },
    push: (app, what, file) => app.push(behave, { do: what, file }, { maxAttempts: what === "fail" ? 2 : 1 }),
    result: "told to succeed",
    hardStop: true,
  })
  handling({ queue })
})

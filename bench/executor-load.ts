// Drives one executor without a worker or a database, as piscina is driven: what is measured is the dispatch alone.
import { randomUUID } from "node:crypto"
import { processExecutor, threadExecutor, type Attempt, type Executor } from "millrace/worker"
import { handlers } from "./executor-jobs.ts"

export const module = new URL("./executor-jobs.js", import.meta.url)
const quiet = { debug() {}, info() {}, warn() {}, error() {} }

export function open(kind: "thread" | "process"): Executor {
  const make = kind === "thread" ? threadExecutor() : processExecutor()
  return make({
    name: "bench",
    concurrency: undefined,
    options: {},
    memoryLimit: undefined,
    modules: [module.href],
    app: undefined,
    maxPayload: 262_144,
    log: quiet,
  })
}

/** A claimed job as a worker would hand it over. */
export function attemptOf(name: "noop" | "stuck" | "crash"): Attempt {
  const handler = handlers.find(({ definition }) => definition.name === name)!
  const controller = new AbortController()
  const facts = { id: randomUUID(), name, queue: "bench", attempt: 1, maxAttempts: 5, crashes: 0, claims: 1, tags: [] }
  return {
    ...facts,
    payloadText: "1",
    metaText: undefined,
    timeout: undefined,
    handler: { ...handler, module: module.href },
    definition: handler.definition,
    signal: controller.signal,
    started() {},
  } as unknown as Attempt
}

/** Keeps `lanes` calls under way until `more` says no; resolves to how many have ended. */
export async function keepBusy(lanes: number, run: () => Promise<unknown>, more: () => boolean): Promise<number> {
  let done = 0
  const lane = async () => {
    while (more()) {
      await run()
      done += 1
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return done
}

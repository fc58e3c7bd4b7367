// Millions of jobs as BullMQ stores them: it stores and runs one of each kind itself, and these are copied inside Redis
// with ids, times and payloads of their own.
import { QUEUES } from "./board.ts"

export interface BullModules {
  bullmq: {
    Queue: new (name: string, options: object) => Queue
    Worker: new (name: string, run: (job: { name: string }) => Promise<unknown>, options: object) => Worker
  }
  ioredis: { default: new (port: number, host: string) => Redis }
}

interface Queue {
  add(name: string, data: object, options: object): Promise<{ id: string }>
  getJobCounts(): Promise<Record<string, number>>
  close(): Promise<void>
}

interface Worker {
  on(event: "completed" | "failed", listener: () => void): void
  close(): Promise<void>
}

interface Redis {
  eval(script: string, keys: number, ...rest: (string | number)[]): Promise<unknown>
  quit(): Promise<unknown>
}

const DAY = 24 * 60 * 60_000
const CHUNK = 10_000

export async function fillBull(modules: BullModules, port: number, waiting: number, finished: number): Promise<void> {
  const samples = await storeSamples(modules, port)
  const redis = new modules.ioredis.default(port, "127.0.0.1")
  try {
    const copy = (script: string, keys: string[], from: number, to: number, at: number) =>
      redis.eval(script, keys.length, ...keys, from, to, at)
    const start = Date.now() - finished * 500 - DAY / 24
    for (let from = 0; from < finished; from += CHUNK) {
      await copy(history, [samples.good, samples.bad], from, Math.min(from + CHUNK, finished) - 1, start)
    }
    for (let from = finished; from < finished + waiting; from += CHUNK) {
      const to = Math.min(from + CHUNK, finished + waiting) - 1
      await copy(backlog, [samples.waiting, samples.later], from, to, Date.now())
    }
  } finally {
    await redis.quit()
  }
  await expectJobs(modules, port, waiting + finished)
}

/** One job that succeeds, one that fails, one that waits and one for later, in a queue that the board does not show. */
async function storeSamples({ bullmq }: BullModules, port: number): Promise<Record<keyof typeof kinds, string>> {
  const connection = { host: "127.0.0.1", port }
  const queue = new bullmq.Queue("samples", { connection })
  try {
    const ids = {} as Record<keyof typeof kinds, string>
    const add = async (kind: keyof typeof kinds) => {
      ids[kind] = `bull:samples:${(await queue.add(`${kind}-job`, { customer: { id: 1 } }, kinds[kind])).id}`
    }
    await add("good")
    await add("bad")
    await runSamples(bullmq, connection, 2)
    await add("waiting")
    await add("later")
    return ids
  } finally {
    await queue.close()
  }
}

const kinds = {
  good: { attempts: 5 },
  bad: { attempts: 1 },
  waiting: { attempts: 5 },
  later: { attempts: 5, delay: DAY },
}

async function runSamples({ Worker }: BullModules["bullmq"], connection: object, count: number): Promise<void> {
  const run = async ({ name }: { name: string }) => {
    if (name === "bad-job") throw new Error("card 1 was refused")
    return { ok: true }
  }
  const worker = new Worker("samples", run, { connection })
  await new Promise<void>((resolve) => {
    let ended = 0
    const end = () => ++ended === count && resolve()
    worker.on("completed", end)
    worker.on("failed", end)
  })
  await worker.close()
}

// Numbers of 13 digits and more are written out: Lua would round them to 14 when it makes text of them.
const history = `local good, bad = redis.call("HGETALL", KEYS[1]), redis.call("HGETALL", KEYS[2])
  for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
    local failed = n % 200 == 0
    local queue = "bull:queue-" .. (n % ${QUEUES}) .. ":"
    local at = tonumber(ARGV[3]) + n * 500
    redis.call("HSET", queue .. n, unpack(failed and bad or good))
    redis.call("HSET", queue .. n, "name", "name-" .. (n % 20), "data", '{"customer":{"id":' .. (n % 100000) .. "}}",
      "timestamp", string.format("%.0f", at), "processedOn", string.format("%.0f", at), "finishedOn", string.format("%.0f", at + 1000))
    redis.call("ZADD", queue .. (failed and "failed" or "completed"), string.format("%.0f", at + 1000), n)
    redis.call("SET", queue .. "id", n)
  end`

const backlog = `local waiting, later = redis.call("HGETALL", KEYS[1]), redis.call("HGETALL", KEYS[2])
  for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
    local delayed = n % 4 == 0
    local queue = "bull:queue-" .. (n % ${QUEUES}) .. ":"
    local at = tonumber(ARGV[3])
    redis.call("HSET", queue .. n, unpack(delayed and later or waiting))
    redis.call("HSET", queue .. n, "name", "name-" .. (n % 20), "data", '{"customer":{"id":' .. (n % 100000) .. "}}",
      "timestamp", string.format("%.0f", at))
    if delayed then redis.call("ZADD", queue .. "delayed", string.format("%.0f", (at + ${DAY}) * 4096 + n % 4096), n)
    else redis.call("LPUSH", queue .. "wait", n) end
    redis.call("SET", queue .. "id", n)
  end`

/** BullMQ counts them itself. */
async function expectJobs({ bullmq }: BullModules, port: number, expected: number): Promise<void> {
  let found = 0
  for (let index = 0; index < QUEUES; index++) {
    const queue = new bullmq.Queue(`queue-${index}`, { connection: { host: "127.0.0.1", port } })
    found += Object.values(await queue.getJobCounts()).reduce((sum, count) => sum + count, 0)
    await queue.close()
  }
  if (found !== expected) throw new Error(`expected ${expected} jobs and found ${found}`)
}

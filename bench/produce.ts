// The producer's half of a child process: loops that push, each bounded in count or time.
import { setTimeout as sleep } from "node:timers/promises"
import { now, ownCpu } from "./measure.ts"
import type { Producer } from "./side.ts"

export const BULK = 1_000

/** Jobs pushed before a measurement, and their index: workers count them and take no latency from them. */
export const WARM_UPS = 20
const WARM_UP = -1

export type EnqueueMode = "single" | "concurrent64" | "bulk1000"

export interface Enqueued {
  jobs: number
  seconds: number
  cpu: number
}

/** Pushes `count` jobs in calls of 1,000, numbered from `from`. */
export async function seed(producer: Producer, count: number, from = 0): Promise<void> {
  for (let at = from; at < from + count; at += BULK) {
    await producer.pushMany(payloads(at, Math.min(BULK, from + count - at)))
  }
}

/** Pushes in one manner until the time is over, each caller waiting for its own push before the next one. */
export async function enqueue(producer: Producer, mode: EnqueueMode, seconds: number): Promise<Enqueued> {
  const started = now()
  const cpu = ownCpu()
  const callers = Array.from({ length: mode === "concurrent64" ? 64 : 1 }, () =>
    mode === "bulk1000"
      ? pushBatches(producer, started + seconds * 1000)
      : pushSingly(producer, started + seconds * 1000),
  )
  const pushed = await Promise.all(callers)
  return { jobs: pushed.reduce((a, b) => a + b), seconds: (now() - started) / 1000, cpu: ownCpu() - cpu }
}

async function pushSingly(producer: Producer, deadline: number): Promise<number> {
  let jobs = 0
  for (; now() < deadline; jobs++) await producer.push({ i: jobs })
  return jobs
}

async function pushBatches(producer: Producer, deadline: number): Promise<number> {
  let jobs = 0
  for (; now() < deadline; jobs += BULK) await producer.pushMany(payloads(jobs, BULK))
  return jobs
}

/** Pushes `count` jobs with a gap of `gap` ms on average, none closer to the last than half of it. Returns the CPU it cost. */
export async function trickle(producer: Producer, count: number, gap: number): Promise<number> {
  await warmUp(producer)
  const cpu = ownCpu()
  const pushes: Promise<unknown>[] = []
  for (let i = 0; i < count; i++) {
    pushes.push(producer.push({ i, at: now() }))
    await sleep(gap * (0.5 + Math.random()))
  }
  await Promise.all(pushes)
  return ownCpu() - cpu
}

/** Pushes at a fixed rate that does not slow down when the pushes do. Returns the CPU it cost. */
export async function pushSteadily(producer: Producer, rate: number, seconds: number): Promise<number> {
  await warmUp(producer)
  const cpu = ownCpu()
  const started = now()
  const pushes: Promise<unknown>[] = []
  while (pushes.length < rate * seconds) {
    const due = Math.min(rate * seconds, Math.floor(((now() - started) / 1000) * rate) + 1)
    while (pushes.length < due) pushes.push(producer.push({ i: pushes.length, at: now() }))
    await sleep(1)
  }
  await Promise.all(pushes)
  return ownCpu() - cpu
}

/** Connections, caches and compiled code are made by the first pushes; none of those is measured. */
async function warmUp(producer: Producer): Promise<void> {
  for (let n = 0; n < WARM_UPS; n++) await producer.push({ i: WARM_UP })
  await sleep(300)
}

function payloads(from: number, count: number): { i: number }[] {
  return Array.from({ length: count }, (_, n) => ({ i: from + n }))
}

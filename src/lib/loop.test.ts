import { expect, test } from "vitest"
import type { Backoff } from "./backoff.ts"
import { supervise } from "./loop.ts"
import { abortableSleep } from "./signal.ts"

const backoff: Backoff = { initial: 1, factor: 2, max: 4, jitter: "none" }
const stopped = (signal: AbortSignal) => abortableSleep(60_000, signal).then(() => undefined)

/** Supervises `run`, which gets the number of its start; stops after `stopAfter` failures. */
async function failures(
  run: (start: number, signal: AbortSignal) => Promise<void>,
  stopAfter: number,
  healthyAfter = 60_000,
) {
  const stop = new AbortController()
  const seen: { error: unknown; consecutive: number; retryInMs: number }[] = []
  let starts = 0
  await supervise({
    name: "listener",
    run: (signal) => run(++starts, signal),
    onError: (error, consecutive, retryInMs) => {
      seen.push({ error, consecutive, retryInMs })
      if (seen.length === stopAfter) stop.abort()
    },
    backoff,
    healthyAfter,
    signal: stop.signal,
  })
  return { seen, starts }
}

test("a loop that fails is started again, later and later", async () => {
  const boom = new Error("boom")
  const { seen, starts } = await failures(() => Promise.reject(boom), 4)
  expect(seen.map((one) => [one.error, one.consecutive, one.retryInMs])).toEqual([
    [boom, 1, 1],
    [boom, 2, 2],
    [boom, 3, 4],
    [boom, 4, 4],
  ])
  expect(starts).toBe(4)
})

test("a run that throws before its first await is a failure like any other", async () => {
  const { seen } = await failures(() => {
    throw new Error("early")
  }, 2)
  expect(seen).toHaveLength(2)
})

test("a run that lasts ends the row of failures", async () => {
  const { seen } = await failures(() => Promise.reject(new Error("boom")), 3, 0)
  expect(seen.map((one) => one.consecutive)).toEqual([1, 1, 1])
})

test("a run that returns early counts as a failure", async () => {
  const { seen } = await failures(() => Promise.resolve(), 2)
  expect(seen[1]).toMatchObject({ error: { code: "MILLRACE_LOOP_ENDED" }, consecutive: 2 })
  expect(String(seen[1]?.error)).toContain("listener returned")
})

test("an abort ends the loop without an error, during a run and during the pause", async () => {
  const stop = new AbortController()
  const errors: unknown[] = []
  const loop = { name: "x", onError: (error: unknown) => void errors.push(error), signal: stop.signal }
  const running = supervise({ ...loop, run: stopped, backoff })
  const thrower = supervise({ ...loop, run: (signal) => stopped(signal).then(() => signal.throwIfAborted()), backoff })
  const pausing = supervise({
    ...loop,
    run: () => Promise.reject(new Error("boom")),
    backoff: { initial: 60_000, factor: 1, max: 60_000, jitter: "none" },
  })
  await Promise.resolve()
  stop.abort()
  await Promise.all([running, thrower, pausing])
  expect(errors.map(String)).toEqual(["Error: boom"])
})

test("a loop that is stopped before it starts never runs", async () => {
  let runs = 0
  const run = () => Promise.resolve(void runs++)
  await supervise({ name: "x", run, onError: () => {}, backoff, signal: AbortSignal.abort() })
  expect(runs).toBe(0)
})

test("an error on the way out is reported as one that is not tried again", async () => {
  const stop = new AbortController()
  const waits: number[] = []
  const done = supervise({
    name: "x",
    run: (signal) => stopped(signal).then(() => Promise.reject(new Error("cleanup"))),
    onError: (_error, _consecutive, retryInMs) => waits.push(retryInMs),
    backoff,
    signal: stop.signal,
  })
  stop.abort()
  await done
  expect(waits).toEqual([Number.POSITIVE_INFINITY])
})

test("a reporter that throws does not end the loop", async () => {
  const stop = new AbortController()
  let starts = 0
  await supervise({
    name: "x",
    run: async () => {
      if (++starts === 3) stop.abort()
      throw new Error("boom")
    },
    onError: () => {
      throw new Error("reporter")
    },
    backoff,
    signal: stop.signal,
  })
  expect(starts).toBe(3)
})

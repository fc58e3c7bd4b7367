import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { deferred } from "../lib/deferred.ts"
import { Timers } from "./timers.ts"

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

test("work runs again and again, each time about so long after the last has ended", async () => {
  const timers = new Timers()
  const at: number[] = []
  const start = Date.now()
  timers.every(1_000, async () => void at.push(Date.now() - start))
  await vi.advanceTimersByTimeAsync(20_000)
  timers.stop()
  expect(at.length).toBeGreaterThanOrEqual(18)
  expect(at.length).toBeLessThanOrEqual(22)
  for (const [index, time] of at.entries()) {
    const waited = time - (at[index - 1] ?? 0)
    expect(waited).toBeGreaterThanOrEqual(899)
    expect(waited).toBeLessThanOrEqual(1_101)
  }
})

test("the wait is spread by a tenth either way", async () => {
  for (const [random, waited] of [
    [0, 900],
    [0.5, 1_000],
    [0.999_999, 1_099],
  ] as const) {
    vi.spyOn(Math, "random").mockReturnValue(random)
    const timers = new Timers()
    const run = vi.fn<() => Promise<void>>(async () => {})
    timers.every(1_000, run)
    await vi.advanceTimersByTimeAsync(waited - 1)
    expect(run).toHaveBeenCalledTimes(0)
    await vi.advanceTimersByTimeAsync(2)
    expect(run).toHaveBeenCalledTimes(1)
    timers.stop()
  }
})

test("work never overlaps itself", async () => {
  const timers = new Timers()
  const done = deferred<void>()
  const run = vi.fn<() => Promise<void>>(() => done.promise)
  timers.every(10, run)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(run).toHaveBeenCalledTimes(1)
  done.resolve()
  await vi.advanceTimersByTimeAsync(20)
  expect(run.mock.calls.length).toBeGreaterThan(1)
  timers.stop()
})

test("asked for several times before it runs, it runs once; asked for again afterwards, again", async () => {
  const timers = new Timers()
  const run = vi.fn<() => Promise<void>>(async () => {})
  timers.once("look", 100, run)
  timers.once("look", 0, run)
  timers.once("look", 500, run)
  await vi.advanceTimersByTimeAsync(1_000)
  expect(run).toHaveBeenCalledTimes(1)
  timers.once("look", 100, run)
  await vi.advanceTimersByTimeAsync(1_000)
  expect(run).toHaveBeenCalledTimes(2)
})

test("asked for while it runs, it runs once more", async () => {
  const timers = new Timers()
  let runs = 0
  const run = async () => {
    runs += 1
    if (runs === 1) timers.once("look", 10, run)
  }
  timers.once("look", 10, run)
  await vi.advanceTimersByTimeAsync(1_000)
  expect(runs).toBe(2)
})

test("works of different names do not keep each other from running", async () => {
  const timers = new Timers()
  const ran: string[] = []
  for (const name of ["a", "b"]) timers.once(name, 10, async () => void ran.push(name))
  await vi.advanceTimersByTimeAsync(10)
  expect(ran).toEqual(["a", "b"])
})

test("a stop ends all of it, also what is being run, and nothing starts afterwards", async () => {
  const timers = new Timers()
  const done = deferred<void>()
  const running = vi.fn<() => Promise<void>>(() => done.promise)
  const waiting = vi.fn<() => Promise<void>>(async () => {})
  timers.every(10, running)
  timers.every(1_000, waiting)
  timers.once("later", 1_000, waiting)
  await vi.advanceTimersByTimeAsync(20)
  timers.stop()
  done.resolve()
  timers.once("too late", 1, waiting)
  timers.every(1, waiting)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(running).toHaveBeenCalledTimes(1)
  expect(waiting).toHaveBeenCalledTimes(0)
  expect(vi.getTimerCount()).toBe(0)
})

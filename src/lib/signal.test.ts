import { getEventListeners } from "node:events"
import { afterEach, expect, test, vi } from "vitest"
import { abortableSleep, Signal } from "./signal.ts"

afterEach(() => {
  vi.useRealTimers()
})

test("a notification wakes everyone who waits", async () => {
  const signal = new Signal()
  const waits = [signal.wait(), signal.wait(60_000)]
  signal.notify()
  expect(await Promise.all(waits)).toEqual([true, true])
})

test("a notification before the wait is remembered once", async () => {
  const signal = new Signal()
  signal.notify()
  signal.notify()
  expect(await signal.wait(0)).toBe(true)
  expect(await signal.wait(0)).toBe(false)
})

test("a notification that woke someone is not remembered", async () => {
  const signal = new Signal()
  const wait = signal.wait()
  signal.notify()
  await wait
  expect(await signal.wait(0)).toBe(false)
})

test("a wait that timed out does not swallow the next notification", async () => {
  const signal = new Signal()
  expect(await signal.wait(1)).toBe(false)
  signal.notify()
  expect(await signal.wait(0)).toBe(true)
})

test("an abort ends a wait, and an aborted wait leaves the notification for the next", async () => {
  const signal = new Signal()
  const abort = new AbortController()
  const wait = signal.wait(undefined, abort.signal)
  abort.abort()
  expect(await wait).toBe(false)
  signal.notify()
  expect(await signal.wait(0, abort.signal)).toBe(false)
  expect(await signal.wait(0)).toBe(true)
})

test("no timer and no listener outlives the wait, however it ends", async () => {
  vi.useFakeTimers()
  const abort = new AbortController()
  const signal = new Signal()
  const waits = [signal.wait(10_000, abort.signal), signal.wait(5, abort.signal), abortableSleep(5, abort.signal)]
  await vi.advanceTimersByTimeAsync(5)
  signal.notify()
  expect(await Promise.all(waits)).toEqual([true, false, true])
  expect(vi.getTimerCount()).toBe(0)
  expect(getEventListeners(abort.signal, "abort")).toHaveLength(0)
})

test("a wait longer than a timer can be lasts its full length", async () => {
  vi.useFakeTimers()
  const wait = vi.fn()
  void abortableSleep(3_000_000_000).then(wait)
  await vi.advanceTimersByTimeAsync(2_999_999_999)
  expect(wait).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(1)
  expect(wait).toHaveBeenCalledWith(true)
})

test("a sleep tells whether it was slept in full", async () => {
  const abort = new AbortController()
  expect(await abortableSleep(1)).toBe(true)
  const sleep = abortableSleep(60_000, abort.signal)
  abort.abort()
  expect(await sleep).toBe(false)
  expect(await abortableSleep(1, abort.signal)).toBe(false)
})

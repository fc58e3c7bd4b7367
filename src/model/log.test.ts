import { expect, test } from "vitest"
import { consoleLogger, guarded, silent } from "./log.ts"

test("a guarded logger passes everything on, and keeps what the logger throws to itself", () => {
  const got: unknown[] = []
  const logger = {
    debug: (...args: unknown[]) => got.push(["debug", ...args]),
    info: (...args: unknown[]) => got.push(["info", ...args]),
    warn() {
      throw new Error("broken")
    },
    error: (...args: unknown[]) => got.push(["error", ...args]),
  }
  const safe = guarded(logger)
  safe.debug("a")
  safe.info("b", { c: 1 })
  safe.warn("d")
  safe.error("e")
  expect(got).toEqual([
    ["debug", "a", undefined],
    ["info", "b", { c: 1 }],
    ["error", "e", undefined],
  ])
})

test("fields that cannot be written do not reach the caller", () => {
  expect(() => guarded(consoleLogger("x")).info("a", { n: 1n })).not.toThrow()
})

test("a silent logger has every level", () => {
  for (const level of ["debug", "info", "warn", "error"] as const) expect(silent[level]("x")).toBeUndefined()
})

test("a logger that takes fields first gets them first", () => {
  const got: unknown[] = []
  const level = (...args: unknown[]) => void got.push(args)
  const pino = {
    debug: level,
    info: level,
    warn: level,
    error: level,
    child: level,
    [Symbol.for("pino.serializers")]: {},
  }
  const safe = guarded(pino)
  safe.info("a", { b: 1 })
  safe.warn("c")
  expect(got).toEqual([
    [{ b: 1 }, "a"],
    [{}, "c"],
  ])
})

import fc from "fast-check"
import { expect, test } from "vitest"
import { isUuid, uuidv4, uuidv7, uuidv7Source } from "./uuid.ts"

const V7 = /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/
const timeOf = (id: string) => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)

test("ids are valid, start with the time and grow", () => {
  const before = Date.now()
  let last = ""
  for (let i = 0; i < 20_000; i++) {
    const id = uuidv7()
    if (!V7.test(id) || id <= last) expect.fail(`${id} after ${last}`)
    last = id
  }
  expect(timeOf(last)).toBeGreaterThanOrEqual(before)
  expect(isUuid(last)).toBe(true)
})

test("ids grow whatever the clock does", () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 2 ** 48 - 100 }), fc.integer({ min: 1, max: 200 })))
  fc.assert(
    fc.property(steps, (moments) => {
      let time = 0
      const next = uuidv7Source(() => time)
      let last = ""
      for (const [moment, ids] of moments) {
        time = moment
        for (let i = 0; i < ids; i++) {
          const id = next()
          expect(V7.test(id) && id > last).toBe(true)
          last = id
        }
      }
    }),
  )
})

test("a counter that overflows borrows the next millisecond", () => {
  const next = uuidv7Source(() => 1_000)
  const ids = Array.from({ length: 10_000 }, next)
  expect(new Set(ids).size).toBe(10_000)
  expect(ids.toSorted()).toEqual(ids)
  expect(timeOf(ids.at(-1) ?? "")).toBeLessThanOrEqual(1_005)
})

test("the random part uses every value of every digit", () => {
  const tails = Array.from({ length: 5_000 }, () => uuidv7().slice(19).replace("-", ""))
  for (let digit = 0; digit < 16; digit++) {
    expect(new Set(tails.map((tail) => tail[digit])).size).toBe(digit === 0 ? 4 : 16)
  }
})

test("a UUID of any version and case is recognised, and nothing else", () => {
  expect(isUuid(uuidv4())).toBe(true)
  expect(isUuid("00000000-0000-0000-0000-000000000000")).toBe(true)
  expect(isUuid(uuidv7().toUpperCase())).toBe(true)
  for (const other of ["", `${uuidv7()}\n`, `{${uuidv7()}}`, uuidv7().replaceAll("-", ""), undefined, 1]) {
    expect(isUuid(other)).toBe(false)
  }
})

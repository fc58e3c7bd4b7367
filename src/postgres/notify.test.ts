import fc from "fast-check"
import { expect, test } from "vitest"
import { decodeNotice, encodeNotice } from "./notify.ts"

const kinds = ["ready", "later", "queue", "cancel", "done", "test"] as const

test("a notice comes back as it was sent", () => {
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.string(), (kind, about) => {
      expect(decodeNotice(encodeNotice({ kind, about }))).toEqual({ kind, about })
    }),
  )
})

test("each kind has a letter of its own", () => {
  const letters = kinds.map((kind) => encodeNotice({ kind, about: "x" })[0])
  expect(new Set(letters).size).toBe(kinds.length)
})

test("what we did not send is nothing", () => {
  for (const payload of ["", "r", "rx", "x queue", "ready queue", " r", "R queue"])
    expect(decodeNotice(payload)).toBeUndefined()
  fc.assert(
    fc.property(fc.string(), (payload) => {
      const notice = decodeNotice(payload)
      if (notice) expect(encodeNotice(notice)).toBe(payload)
    }),
  )
})

test("a notice about the longest name fits into a notification", () => {
  expect(Buffer.byteLength(encodeNotice({ kind: "ready", about: "x".repeat(128) }))).toBeLessThan(8_000)
})

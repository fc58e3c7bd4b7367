import fc from "fast-check"
import { expect, test } from "vitest"
import { checkName } from "./name.ts"

test("a name of letters, digits and _ . : / # - is returned as it is", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.:/#-]{0,127}$/), (name) => {
      expect(checkName("here", name)).toBe(name)
    }),
  )
})

test("anything else is refused, with the place and what is allowed", () => {
  fc.assert(
    fc.property(fc.anything(), (name) => {
      fc.pre(typeof name !== "string" || !/^[A-Za-z0-9_][A-Za-z0-9_.:/#-]{0,127}$/.test(name))
      expect(() => checkName("here", name)).toThrow(
        expect.objectContaining({
          code: "MILLRACE_BAD_NAME",
          message: expect.stringMatching(/^here: [^]*Use 1 to 128/),
        }),
      )
    }),
  )
  for (const name of ["a\n", "\na", "x".repeat(129)]) expect(() => checkName("here", name)).toThrow(/^here: /)
})

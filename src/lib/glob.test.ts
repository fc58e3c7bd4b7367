import fc from "fast-check"
import { expect, test } from "vitest"
import { checkGlob, compileGlob } from "./glob.ts"

test("a star stands for any run and a question mark for one character", () => {
  const accepts = (pattern: string, text: string) => compileGlob(pattern)(text)
  expect(accepts("mail.*", "mail.welcome")).toBe(true)
  expect(accepts("mail.*", "mail.")).toBe(true)
  expect(accepts("mail.*", "email.welcome")).toBe(false)
  expect(accepts("*.resize", "image.resize.now")).toBe(false)
  expect(accepts("job?", "job1")).toBe(true)
  expect(accepts("job?", "job")).toBe(false)
  expect(accepts("exact", "exact")).toBe(true)
  expect(accepts("exact", "Exact")).toBe(false)
  expect(accepts("*", "")).toBe(true)
})

test("a question mark takes a whole character outside the basic plane", () => {
  expect(compileGlob("a?b")("a😀b")).toBe(true)
  expect(compileGlob("a??b")("a😀b")).toBe(false)
})

test("a glob equals a naive matcher", () => {
  const naive = (p: string, t: string): boolean => {
    if (p === "") return t === ""
    if (p[0] === "*") return naive(p.slice(1), t) || (t !== "" && naive(p, t.slice(1)))
    return t !== "" && (p[0] === "?" || p[0] === t[0]) && naive(p.slice(1), t.slice(1))
  }
  const pattern = fc.stringMatching(/^[ab*?]{1,8}$/)
  fc.assert(
    fc.property(pattern, fc.stringMatching(/^[ab]{0,10}$/), (p, t) => {
      expect(compileGlob(p)(t)).toBe(naive(p, t))
    }),
    { numRuns: 5_000 },
  )
})

test("many stars against a long text take no time", () => {
  const match = compileGlob(`${"*a".repeat(99)}b`)
  const started = performance.now()
  expect(match("a".repeat(10_000))).toBe(false)
  expect(performance.now() - started).toBeLessThan(2_000)
})

test.each([
  [".*", ['"*"']],
  ["^a$", ['"a"']],
  ["^mail\\..*$", ['"mail.*"']],
  ["(a|b)", ['"a"', '"b"']],
  ["^(mail|sms)\\.send$", ['"mail.send"', '"sms.send"']],
  ["a|b", ['"a"', '"b"']],
  ["[ab]+", ['"*"']],
  ["job[0-9]", ['"job?"']],
  ["job\\d+", ['"job*"']],
  ["a.+", ['"a*"']],
])("the regular expression %j is refused with the glob to write", (pattern, globs) => {
  const list = globs.join(", ")
  expect(checkGlob(pattern)).toMatch(/looks like a regular expression; write the globs? "/)
  expect(checkGlob(pattern)).toContain(`${list}.`)
  expect(() => compileGlob(pattern)).toThrow(expect.objectContaining({ code: "MILLRACE_BAD_GLOB" }))
})

test("a glob for dotted names is no regular expression", () => {
  for (const pattern of ["mail.*", "*.mail.*", "a.?", "*", "a-b_c:d/e", "app.*.resize"]) {
    expect(checkGlob(pattern)).toBeUndefined()
  }
})

test("an empty glob, a long one and one that is no text are refused", () => {
  expect(checkGlob("")).toContain('write "*"')
  expect(checkGlob("a".repeat(200))).toBeUndefined()
  expect(checkGlob("a".repeat(201))).toContain("at most 200 characters, not 201")
  expect(checkGlob(/a/ as unknown as string)).toContain("an instance of RegExp")
})

test("whatever is suggested is a glob itself", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[ab.*+?^$()|[\]{}\\]{1,12}$/), (pattern) => {
      const suggested = /write the globs? (.*)\.$/.exec(checkGlob(pattern) ?? "")?.[1]
      if (suggested === undefined) return
      for (const glob of JSON.parse(`[${suggested}]`) as string[]) expect(checkGlob(glob)).toBeUndefined()
    }),
    { numRuns: 2_000 },
  )
})

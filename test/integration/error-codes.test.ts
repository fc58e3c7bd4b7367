import fs from "node:fs"
import path from "node:path"
import { errorCodes, isMillraceError, MillraceError } from "millrace"
import { expect, test } from "vitest"

const folder = path.resolve(import.meta.dirname, "../../src")

/** The sources, without the list itself and without tests. */
function* sources(): Generator<[name: string, text: string]> {
  for (const name of fs.readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts") || name.endsWith(".test.ts") || name === path.join("model", "errors.ts")) continue
    yield [name, fs.readFileSync(path.join(folder, name), "utf8")]
  }
}

/** The code without comments, so that a code that is only talked about does not count as used. */
const codeOf = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1")

/** Names of environment variables look the same. */
const variables = ["MILLRACE_WEB_PASSWORD"]

const mentioned = (text: string): string[] =>
  (text.match(/\bMILLRACE_[A-Z]+(_[A-Z]+)*\b/g) ?? []).filter((name) => !variables.includes(name))

test("every documented code is used somewhere", () => {
  const used = new Set(Array.from(sources(), ([, text]) => mentioned(codeOf(text))).flat())
  expect(Object.keys(errorCodes).filter((code) => !used.has(code))).toEqual([])
})

test("every code that the sources mention is documented", () => {
  const unknown = Array.from(sources()).flatMap(([name, text]) =>
    mentioned(text)
      .filter((code) => !(code in errorCodes))
      .map((code) => `${name}: ${code}`),
  )
  expect(unknown).toEqual([])
})

test("every code is described by one sentence", () => {
  for (const [code, meaning] of Object.entries(errorCodes)) {
    expect(code).toMatch(/^MILLRACE_[A-Z_]+$/)
    expect(meaning).toMatch(/^[A-Z`].*\.$/)
  }
})

test("errors are recognised by their shape, whichever copy of the package made them", () => {
  const error = new MillraceError("MILLRACE_TIMEOUT", "too late", { cause: 1 })
  expect(error).toMatchObject({ name: "MillraceError", code: "MILLRACE_TIMEOUT", message: "too late", cause: 1 })
  expect(isMillraceError({ code: "MILLRACE_TIMEOUT", message: "of another copy" }, "MILLRACE_TIMEOUT")).toBe(true)
  expect(isMillraceError(error, "MILLRACE_CLOSED")).toBe(false)
  for (const other of [
    null,
    undefined,
    "MILLRACE_TIMEOUT",
    new Error("x"),
    { code: "23505", message: "x" },
    { code: 1 },
  ])
    expect(isMillraceError(other)).toBe(false)
})

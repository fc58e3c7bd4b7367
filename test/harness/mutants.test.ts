import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { expect, test } from "vitest"
import { apply } from "../../faults/mutants.ts"
import { mutants } from "../../faults/patches.ts"
import { profiles } from "../../faults/profiles.ts"

const dist = path.resolve(import.meta.dirname, "../../dist")

test.each(mutants)("the patch of $name fits the compiled package, and its test is there", ({ edits, test: name }) => {
  expect(profiles[name]).toBeDefined()
  for (const { file, from } of edits)
    expect(fs.readFileSync(path.join(dist, file), "utf8").split(from), `${file}: ${from}`).toHaveLength(2)
})

test("planting a patch whose text is gone, or there twice, fails", () => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "millrace-patch-")), "file.js")
  fs.writeFileSync(file, "one two two")
  expect(() => apply("none", file, { file, from: "three", to: "" })).toThrow(/does not fit/)
  expect(() => apply("none", file, { file, from: "two", to: "" })).toThrow(/does not fit/)
  apply("none", file, { file, from: "one", to: "1" })
  expect(fs.readFileSync(file, "utf8")).toBe("1 two two")
  fs.rmSync(path.dirname(file), { recursive: true })
})

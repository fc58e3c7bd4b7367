import fs from "node:fs"
import path from "node:path"
import { expect, test } from "vitest"

const root = path.resolve(import.meta.dirname, "../..")
const doc = fs.readFileSync(path.join(root, "docs/executors.md"), "utf8")
const sources = fs
  .readdirSync(path.join(root, "test"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => fs.readFileSync(path.join(root, "test", name), "utf8"))
  .join("\n")

const notes = new Map(
  Array.from(doc.matchAll(/^(\d+)\. (".*")$/gm), ([, number, names]) => [
    Number(number),
    Array.from(names!.matchAll(/"([^"]+)"/g), ([, name]) => name!),
  ]),
)

test.each([...notes.values()].flat())(
  "the test that the guarantees of executors are backed by is there: %s",
  (name) => {
    expect(sources).toContain(`"${name}"`)
  },
)

test("each guarantee of an executor names its tests", () => {
  const table = doc.slice(doc.indexOf("| Parallelism"), doc.indexOf("Each is a test"))
  const used = new Set(Array.from(table.matchAll(/\[(\d+)\]/g), ([, number]) => Number(number)))
  expect([...used].sort((a, b) => a - b)).toEqual([...notes.keys()])
  const cells = table
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .flatMap((line) => line.split("|").slice(2, -1))
  expect(cells.filter((cell) => !/\[\d+\]|^ (none|yours|that of the program, for each job) *$/.test(cell))).toEqual([])
})

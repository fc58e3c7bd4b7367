// The table of what can happen at once (docs/design/core.md, section 5) and the tests that force each order.
import fs from "node:fs"
import { expect, test } from "vitest"

const root = new URL("../../", import.meta.url)
const read = (file: string) => fs.readFileSync(new URL(file, root), "utf8")

interface Line {
  readonly number: number
  readonly files: string[]
  readonly faults: boolean
}

/** Rows look like `| 17 | what | effect | worker | \`settle.test.ts\`, faults |`. */
function lines(): Line[] {
  const section = /^## 5\. .*?(?=^## )/ms.exec(read("docs/design/core.md"))![0]
  return [...section.matchAll(/^\|\s*(\d+)\s*\|.*\|([^|]*)\|\s*$/gm)].map(([, number, where]) => ({
    number: Number(number),
    files: [...where!.matchAll(/`([\w-]+\.test\.ts)`/g)].map(([, file]) => file!),
    faults: /\bfaults\b/.test(where!),
  }))
}

/** Titles of tests that begin with a row's number. */
function titles(text: string): string[] {
  return [...text.matchAll(/\btest[\w.]*(?:\((?:[^()]|\([^()]*\))*\))?\(\s*(["'`])(#\d+ (?:(?!\1).)*)\1/gs)].map(
    ([, , title]) => title!,
  )
}

const exists = (file: string) => fs.existsSync(new URL(file, root))
const faults = () =>
  exists("test/faults/")
    ? fs
        .readdirSync(new URL("test/faults/", root))
        .filter((name) => name.endsWith(".test.ts"))
        .map((name) => read(`test/faults/${name}`))
    : []

const table = lines()

test("the table's rows are numbered without a gap", () => {
  expect(table.length).toBeGreaterThan(40)
  expect(table.map(({ number }) => number)).toEqual(table.map((_, index) => index + 1))
})

test.each(table.filter(({ files }) => files.length > 0))("row $number: $files has a test of that number", (line) => {
  for (const file of line.files) {
    const found = titles(read(`test/interleavings/${file}`)).filter((title) => title.startsWith(`#${line.number} `))
    expect(found, `${file}: no title begins with "#${line.number} "`).not.toEqual([])
  }
})

test.each(table.filter(({ files, faults }) => faults && files.length === 0))(
  "row $number: a test of real processes bears that number",
  ({ number }) => {
    const named = new RegExp(`#${number}(?!\\d)`)
    expect(
      faults().some((text) => named.test(text)),
      `no file in test/faults says "#${number}"`,
    ).toBe(true)
  },
)

test("every row names a test, and every numbered test has a row that names its file", () => {
  expect(table.filter(({ files, faults }) => files.length === 0 && !faults)).toEqual([])
  const named = new Map(table.map(({ number, files }) => [number, files]))
  const strays: string[] = []
  for (const file of fs.readdirSync(new URL("test/interleavings/", root)).filter((name) => name.endsWith(".test.ts"))) {
    for (const title of titles(read(`test/interleavings/${file}`))) {
      if (!named.get(Number(/\d+/.exec(title)![0]))?.includes(file)) strays.push(`${file}: ${title}`)
    }
  }
  expect(strays).toEqual([])
})

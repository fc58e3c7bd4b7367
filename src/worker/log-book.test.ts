import { expect, test } from "vitest"
import { LogBook } from "./log-book.ts"

interface Stored {
  a: number
  l: string
  m: string
  f?: unknown
}
const linesIn = (book: LogBook) =>
  book
    .take()
    .flatMap(({ skip, lines }) =>
      (JSON.parse(lines) as Stored[]).map(({ m }, index) => (index === 0 && skip > 0 ? `${skip} dropped, ${m}` : m)),
    )
const filled = (count: number, text = "") => {
  const book = new LogBook()
  for (let n = 1; n <= count; n++) book.add("info", `${n}${text}`, undefined)
  return book
}

test("what is taken stays the same until it is stored", () => {
  const book = filled(2)
  const first = book.take()
  book.add("warn", "3", { a: 1 })
  expect(book.take().map(({ batch, count }) => [batch, count])).toEqual([[first[0]!.batch, 2]])
  book.stored()
  const [second] = book.take()
  expect(second!.batch).toBeGreaterThan(first[0]!.batch)
  expect(JSON.parse(second!.lines)).toEqual([{ a: expect.any(Number), l: "warn", m: "3", f: { a: 1 } }])
  expect(book.empty).toBe(false)
  book.stored()
  expect(book.empty).toBe(true)
})

test("chunks are small, whatever the lines", () => {
  expect(
    filled(450)
      .take()
      .map(({ count }) => count),
  ).toEqual([200, 200, 50])
  const heavy = filled(40, "x".repeat(7_000)).take()
  expect(heavy.reduce((sum, { count }) => sum + count, 0)).toBe(40)
  for (const { bytes, lines } of heavy) {
    expect(bytes).toBeLessThan(72_000)
    expect(Buffer.byteLength(lines)).toBeLessThan(72_000)
  }
})

test.each([
  ["many lines", "", 100_000],
  ["long lines", "x".repeat(5_000), 3_000],
])("of %s the first and the newest stay, and every line is counted", (_, text, count) => {
  const chunks = filled(count, text).take()
  const kept = chunks.reduce((sum, chunk) => sum + chunk.count, 0)
  const dropped = chunks.reduce((sum, chunk) => sum + chunk.skip, 0)
  expect(kept + dropped).toBe(count)
  expect(kept).toBeLessThanOrEqual(4_000)
  expect(chunks.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(1_200_000)
  expect(chunks.filter(({ skip }) => skip > 0)).toHaveLength(1)
  const texts = chunks.flatMap(({ lines }) => (JSON.parse(lines) as Stored[]).map(({ m }) => Number.parseInt(m, 10)))
  expect(texts.slice(0, 20)).toEqual(Array.from({ length: 20 }, (__, n) => n + 1))
  expect(texts.at(-1)).toBe(count)
})

test("dropping starts behind the first lines", () => {
  const lines = linesIn(filled(4_001))
  expect(lines.slice(0, 500)).toEqual(Array.from({ length: 500 }, (_, n) => `${n + 1}`))
  expect(lines[500]).toBe("2000 dropped, 2501")
})

import { expect, test } from "vitest"
import { bytes, describeBytes } from "./bytes.ts"

test("amounts of memory are numbers of bytes, or text with a binary unit", () => {
  expect([bytes(12, "x"), bytes("3b", "x"), bytes("1.5 KB", "x"), bytes("512mb", "x"), bytes("2GB", "x")]).toEqual([
    12,
    3,
    1536,
    512 * 1024 ** 2,
    2 * 1024 ** 3,
  ])
})

test.each(["", "12", "mb", "-1mb", "1tb", -1, Number.NaN, Number.POSITIVE_INFINITY, {}])(
  "%o is no amount of memory, and the error shows one",
  (given) => {
    expect(() => bytes(given as never, "queue.memoryLimit")).toThrow(
      expect.objectContaining({ code: "MILLRACE_BAD_OPTION", message: expect.stringMatching(/memoryLimit.*"512mb"/) }),
    )
  },
)

test("an amount is told in its largest unit", () => {
  expect([describeBytes(0), describeBytes(1023), describeBytes(1536), describeBytes(512 * 1024 ** 2)]).toEqual([
    "0 B",
    "1020 B",
    "1.5 KB",
    "512 MB",
  ])
})

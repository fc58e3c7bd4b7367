import { expect, test } from "vitest"
import { parseQueue } from "./queue.ts"

test("a queue of which only the name is given has every default", () => {
  const expected = {
    name: "q",
    concurrency: undefined,
    executor: "async",
    executorOptions: {},
    tags: ["*"],
    claimAhead: undefined,
    pollInterval: 1_000,
    fair: false,
  }
  expect(parseQueue("q")).toEqual(expected)
  expect(parseQueue({ name: "q" })).toEqual(expected)
})

test("an empty list of tags stays empty: nobody runs the queue", () => {
  expect(parseQueue({ name: "q", tags: [] }).tags).toEqual([])
})

test("a tag pattern that looks like a regular expression is refused, with the glob", () => {
  expect(() => parseQueue({ name: "q", tags: ["ok", "^gpu-.*$"] })).toThrow(/tags\[1\]: .*the glob "gpu-\*"\.$/)
})

test.each([
  [{ name: "q", concurrency: 0 }, /concurrency/],
  [{ name: "q", concurrency: 100_001 }, /concurrency/],
  [{ name: "q", claimAhead: -1 }, /claimAhead/],
  [{ name: "q", claimAhead: 10_001 }, /claimAhead/],
  [{ name: "q", pollInterval: "49ms" }, /pollInterval/],
  [{ name: "q", pollInterval: "2h" }, /pollInterval/],
  [{ name: "q", executor: "" }, /executor/],
  [{ name: "q", executorOptions: null }, /executorOptions/],
  [{ name: "q", rate_limit: 5 }, /rateLimit/],
  [{ name: "-" }, /queue\.name/],
  [{}, /queue\.name/],
])("%j is refused", (options, message) => {
  expect(() => parseQueue(options as { name: string })).toThrow(message)
})

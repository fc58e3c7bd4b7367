import { expect, test } from "vitest"
import type { QueueRecord } from "../model/queue.ts"
import { automaticTags, runsHere } from "./placement.ts"

const queue = (tags: string[]) => ({ name: "q", tags }) as unknown as QueueRecord

test("every worker has the tags that placement counts on", () => {
  const tags = automaticTags("w1")
  expect(tags[0]).toBe("*")
  expect(tags.map((tag) => tag.split("=")[0])).toEqual(["*", "hostname", "worker_id", "runtime", "arch", "os"])
  expect(tags).toContain("worker_id=w1")
})

test.each([
  [["*"], ["anything"], true],
  [[], ["*"], false],
  [["has=gpu"], ["has=gpu"], true],
  [["has=gpu"], ["has=gpus", "xhas=gpu", "HAS=GPU"], false],
  [["a", "b*"], ["bc"], true],
  [["?"], ["ab"], false],
  [["^a$", "("], ["a"], false],
])("a queue with the patterns %j and a worker with the tags %j: %s", (patterns, tags, expected) => {
  expect(runsHere(queue(patterns), tags)).toBe(expected)
})

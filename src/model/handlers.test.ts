import { expect, test } from "vitest"
import { defineJob } from "./definition.ts"
import { registryOf } from "./handlers.ts"

const resize = defineJob({ name: "resize", aliases: ["scale", "shrink"] })

test("a handler answers to the name of its definition and to its aliases", () => {
  const handler = resize.handler(() => 1)
  const registry = registryOf([handler])
  expect([...registry.keys()]).toEqual(["resize", "scale", "shrink"])
  expect(registry.get("shrink")).toBe(handler)
  expect(registry.get("toString")).toBeUndefined()
})

test("two handlers for one name are refused", () => {
  const twin = defineJob({ name: "scale" })
  expect(() => registryOf([resize.handler(() => 1), twin.handler(() => 2)])).toThrow(
    expect.objectContaining({
      code: "MILLRACE_DUPLICATE_HANDLER",
      message: expect.stringMatching(/"scale".*aliases count/),
    }),
  )
})

test("what is no handler is refused, with how to make one", () => {
  for (const bad of [null, undefined, {}, resize, () => 1, { run: () => 1 }]) {
    expect(() => registryOf([bad as never])).toThrow(
      expect.objectContaining({ code: "MILLRACE_BAD_OPTION", message: expect.stringMatching(/definition\.handler/) }),
    )
  }
})

import { expect, test } from "vitest"
import { deferred } from "./deferred.ts"

test("a deferred promise is settled from outside, once", async () => {
  const good = deferred<number>()
  good.resolve(1)
  good.resolve(2)
  expect(await good.promise).toBe(1)

  const failed = deferred<number>()
  failed.reject(new Error("no"))
  await expect(failed.promise).rejects.toThrow("no")
})

import { expect, test } from "vitest"
import { matchPath } from "./path.ts"

test.each([
  ["/count", "/count", {}],
  ["/schedules/:key", "/schedules/nightly%2Freport", { key: "nightly/report" }],
  ["/:a/runs/:b", "/x/runs/7", { a: "x", b: "7" }],
  ["/schedules/:key", "/schedules/", undefined],
  ["/schedules/:key", "/schedules", undefined],
  ["/schedules/:key", "/schedules/%E0%A4%A", undefined],
  ["/schedules/:key", "/other/1", undefined],
])("%s has the shape of %s: %o", (pattern, path, found) => {
  expect(matchPath(pattern, path)).toEqual(found)
})

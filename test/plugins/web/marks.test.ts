import { expect, test } from "vitest"
import { startSite } from "./site.ts"

test("marks are made, listed for a time, removed, and audited", async () => {
  const { ask } = await startSite()
  const old = await ask("POST", "/marks", { body: { text: "1.4.1", at: "2027-01-01T10:00:00Z" } })
  expect([old.status, old.body]).toMatchObject([
    201,
    { text: "1.4.1", at: "2027-01-01T10:00:00.000Z", createdBy: "ada" },
  ])
  const before = Date.now()
  const now = await ask("POST", "/marks", { as: "operator", body: { text: "<b>1.4.2</b>" } })
  expect(Math.abs(Date.parse(now.body.at as string) - before)).toBeLessThan(60_000)
  const texts = async (query: string) =>
    (await ask("GET", `/marks${query}`, { as: "viewer" })).body.marks.map((mark: { text: string }) => mark.text)
  expect(await texts("?from=2000-01-01&to=2100-01-01")).toHaveLength(2)
  expect(await texts("?from=2027-01-01T09:59:00Z&to=2027-01-01T10:01:00Z")).toEqual(["1.4.1"])
  expect(await texts("")).toContain("<b>1.4.2</b>")
  expect((await ask("DELETE", `/marks/${old.body.id}`)).status).toBe(204)
  expect((await ask("DELETE", `/marks/${old.body.id}`)).status).toBe(404)
  const { entries } = (await ask("GET", `/audit?target=${old.body.id}`)).body
  expect(entries).toMatchObject([
    { action: "DELETE /marks/:id", status: 404 },
    { action: "DELETE /marks/:id", status: 204, before: { text: "1.4.1" } },
    { action: "POST /marks", status: 201, after: { text: "1.4.1" } },
  ])
})

test.each([
  ["viewer", { text: "x" }, 403],
  ["operator", {}, 400],
  ["operator", { text: "x".repeat(201) }, 400],
  ["operator", { text: "x", at: "yesterday" }, 400],
  ["operator", { text: "x", when: "now" }, 400],
])("%s marks with %j: %i", async (as, body, status) => {
  const { ask } = await startSite()
  expect((await ask("POST", "/marks", { as, body })).status).toBe(status)
  expect((await ask("GET", "/marks")).body.marks).toEqual([])
})

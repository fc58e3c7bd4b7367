// What axe finds on the main pages of a dashboard, in nodes per rule.
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { Board } from "./board.ts"
import { settle, type Visitor } from "./browser.ts"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")
const options = { runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] } }

export async function axeFindings(board: Board, visitor: Visitor): Promise<Map<string, number>> {
  const nodes = new Map<string, number>()
  const page = await visitor.fresh()
  for (const path of board.pages) {
    const response = await page.goto(board.url + path, { timeout: 120_000 })
    if (!response?.ok()) throw new Error(`${path} answered ${response?.status()}`)
    await settle(page)
    const found = await page.evaluate<[string, number][]>(`(async () => {
      ${axe};
      const { violations } = await axe.run(document, ${JSON.stringify(options)})
      return violations.map(({ id, nodes }) => [id, nodes.length])
    })()`)
    for (const [rule, count] of found) nodes.set(rule, (nodes.get(rule) ?? 0) + count)
  }
  await page.context().close()
  return nodes
}

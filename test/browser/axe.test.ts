import { createRequire } from "node:module"
import { readFileSync } from "node:fs"
import type { Browser, Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/until.ts"
import { executablePath, launch, watch, type Look } from "./browser.ts"
import { fill, pluginPages } from "./pages.ts"
import { startSite, type Site } from "./site.ts"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")
const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

interface Violation {
  id: string
  nodes: { html: string; failureSummary: string }[]
}

/** A colour on its way to another is neither. */
const settled = `document.getAnimations().every((one) =>
  one.playState !== "running" || one.effect?.getComputedTiming().iterations === Infinity)`

/** What axe finds wrong, as text. */
async function findings(page: Page): Promise<string[]> {
  await until("colours are what they will be", () => page.evaluate<boolean>(settled))
  const options = JSON.stringify({ runOnly: { type: "tag", values: tags } })
  const { violations } = await page.evaluate<{ violations: Violation[] }>(
    `(async () => { ${axe}; return await axe.run(document, ${options}) })()`,
  )
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`),
  )
}

/** What is wrong with a page: what axe finds, or that it is wider than the screen. */
async function walked(page: Page, path: string): Promise<string[]> {
  await page.goto(path)
  await page.locator("h1").first().waitFor({ state: "attached" })
  await until(`${path} has its data`, async () => (await page.locator(".skeleton").count()) === 0)
  const found = (await findings(page)).map((text) => `${path} ${text}`)
  const wide = await page.evaluate<number>("document.documentElement.scrollWidth - window.innerWidth")
  return wide > 0 ? [...found, `${path} is ${wide} px too wide`] : found
}

const looks: readonly Look[] = [
  { theme: "light", width: 1_440 },
  { theme: "dark", width: 1_440 },
  { theme: "light", width: 390, height: 844 },
  { theme: "dark", width: 390, height: 844 },
]

describe.skipIf(!executablePath)("what axe says", () => {
  let site: Site
  let browser: Browser
  let pages: readonly string[]
  beforeAll(async () => {
    site = await startSite()
    ;({ pages } = await fill(site))
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    await site?.[Symbol.asyncDispose]()
  })

  it.each(looks)("is nothing, on every page, $theme at $width px", { timeout: 240_000 }, async (look) => {
    const { page, wrong, close } = await watch(browser, site.url, look)
    const found: string[] = []
    for (const path of pages) found.push(...(await walked(page, path)))
    expect(found).toEqual([])
    expect(wrong).toEqual([])
    await close()
  })

  it("is nothing on pages whose plugins are not there", { timeout: 120_000 }, async () => {
    await using bare = await startSite({ bare: true })
    const { page, wrong, close } = await watch(browser, bare.url)
    const found: string[] = []
    for (const path of pluginPages) found.push(...(await walked(page, path)))
    expect(found).toEqual([])
    expect(wrong).toEqual([])
    await close()
  })

  it("is nothing in dialogs, the palette and the help", { timeout: 120_000 }, async () => {
    const { page, wrong, close } = await watch(browser, site.url)
    const found: string[] = []
    for (const [path, keys] of [
      ["/jobs", ["Control+k"]],
      ["/jobs", ["?"]],
      ["/jobs?push=1", []],
      ["/jobs?q=state%3Afailed", ["j", "r"]],
      ["/jobs?q=state%3Afailed", ["j", "Enter", "e"]],
      ["/jobs?q=state%3Afailed", ["j", "Enter", "v"]],
    ] as const) {
      await page.goto(path)
      await page.locator(".skeleton").first().waitFor({ state: "detached" })
      await page.locator("tbody tr[data-job]").first().waitFor()
      for (const key of keys) {
        await page.keyboard.press(key)
        if (key === "Enter") await page.locator(".job-detail").waitFor()
      }
      await page.locator("dialog[open]").waitFor()
      found.push(...(await findings(page)).map((text) => `${path} ${keys.join(" ")} ${text}`))
    }
    for (const [path, button] of [
      ["/schedules", "New schedule"],
      ["/schedules/sales", "Edit"],
      ["/schedules/sales", "Remove"],
      [pages.findLast((one) => one.startsWith("/flows/"))!, "Send a signal"],
      ["/queues/billing", "Limits"],
      ["/metrics", "Add a mark"],
    ] as const) {
      await page.goto(path)
      await page.getByRole("button", { name: button }).click()
      await page.locator("dialog[open]").waitFor()
      found.push(...(await findings(page)).map((text) => `${path} ${button} ${text}`))
    }
    expect(found).toEqual([])
    expect(wrong).toEqual([])
    await close()
  })
})

import { readdirSync, readFileSync } from "node:fs"
import path from "node:path"
import { gzipSync } from "node:zlib"
import type { Browser } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/until.ts"
import { executablePath, launch, watch } from "./browser.ts"
import { startSite, type Site } from "./site.ts"

const folder = path.join(import.meta.dirname, "..", "..", "dist", "dashboard", "assets")
const packed = (name: string): number => gzipSync(readFileSync(path.join(folder, name)), { level: 9 }).length
const sum = (names: readonly string[]): number => names.map(packed).reduce((total, one) => total + one, 0)
const ending = (end: string) => readdirSync(folder).filter((name) => name.endsWith(end))

describe("what the dashboard weighs", () => {
  it("is at most 350 kB of script in all, gzipped", () => {
    expect(sum(ending(".js"))).toBeLessThan(350_000)
  })

  it("is at most 20 kB of style, gzipped", () => {
    expect(sum(ending(".css"))).toBeLessThan(20_000)
  })

  it("has its fonts with it", () => {
    expect(ending(".woff2")).toHaveLength(2)
  })
})

describe.skipIf(!executablePath)("a first load", () => {
  let site: Site
  let browser: Browser
  beforeAll(async () => {
    site = await startSite()
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    await site?.[Symbol.asyncDispose]()
  })

  it("takes at most 130 kB of script, and asks nobody else for anything", async () => {
    const { page, scripts, wrong, close } = await watch(browser, site.url)
    await page.goto("/")
    await page.locator("main").getByRole("link", { name: "Workers", exact: true }).waitFor()
    await until("the sizes are known", () => scripts.size > 3)
    expect(sum([...scripts.keys()].map((address) => path.basename(address)))).toBeLessThan(130_000)
    expect(wrong).toEqual([])
    await close()
  })
})

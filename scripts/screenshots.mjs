// Takes the pictures of the documentation: `node scripts/screenshots.mjs URL`, of a dashboard that is open there (such as
// the demo's). Not part of the tests: pictures of a live system differ each time.
import path from "node:path"
import { chromium } from "playwright-core"
import { findChromium } from "./chromium.mjs"
import { root } from "./tools.mjs"

const base = process.argv[2]
const executablePath = findChromium()
if (!base || !executablePath) {
  process.stderr.write("usage: node scripts/screenshots.mjs URL   (needs chromium)\n")
  process.exit(2)
}

/** @param {string} address @returns {Promise<any>} */
const ask = async (address) => {
  const response = await fetch(new URL(`api/v1/${address}`, base))
  return response.ok ? response.json() : {}
}

const failed = (await ask("jobs?q=state:failed&limit=1")).jobs?.[0]?.id
const workflow = (await ask("plugins/workflow/workflows")).workflows?.[0]?.id

/** @type {[string, string, number, number][]} */
const pictures = [
  ["overview", "", 1440, 900],
  ["jobs", "jobs", 1440, 900],
  ["job-panel", `jobs?q=state%3Afailed&panel=${failed}`, 1440, 900],
  ["queues", "queues", 1440, 700],
  ["metrics", "metrics", 1440, 1000],
  ["schedules", "schedules", 1440, 700],
  ["phone", "jobs", 390, 844],
  ...(workflow
    ? /** @type {[string, string, number, number][]} */ ([["workflow", `workflows/${workflow}`, 1440, 800]])
    : []),
]

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] })
for (const theme of ["light", "dark"]) {
  for (const [name, address, width, height] of pictures) {
    const context = await browser.newContext({ viewport: { width, height }, reducedMotion: "reduce" })
    await context.addInitScript({ content: `localStorage.setItem("millrace", '{"theme":"${theme}","zone":"UTC"}')` })
    const page = await context.newPage()
    await page.goto(new URL(address, base).href)
    await page.locator(".skeleton").first().waitFor({ state: "detached" })
    await page.waitForTimeout(1_500)
    await page.screenshot({ path: path.join(root, "docs", "images", `${name}-${theme}.png`) })
    await context.close()
  }
}
await browser.close()

// A real browser on the real dashboard. Each page is watched: errors on the console, breaches of the content security
// policy and requests to other origins are kept, and a test can ask that there were none.
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core"
import { findChromium } from "../../scripts/chromium.mjs"

export const executablePath = findChromium()

export async function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: executablePath!,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  })
}

export interface Watched {
  readonly page: Page
  readonly context: BrowserContext
  /** What went wrong: console errors, uncaught errors, policy violations, foreign requests. */
  readonly wrong: string[]
  /** Bytes of script as they came over the wire, by address. */
  readonly scripts: Map<string, number>
  close(): Promise<void>
}

export interface Look {
  readonly theme?: "light" | "dark"
  readonly width?: number
  readonly height?: number
}

export async function watch(browser: Browser, base: string, look: Look = {}): Promise<Watched> {
  const { theme = "light", width = 1_440, height = 900 } = look
  const context = await browser.newContext({ viewport: { width, height }, reducedMotion: "reduce", baseURL: base })
  await context.grantPermissions(["clipboard-read", "clipboard-write"])
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  const wrong: string[] = []
  const scripts = new Map<string, number>()
  await page.exposeFunction("tellViolation", (text: string) => void wrong.push(`policy: ${text}`))
  await page.addInitScript({
    content: `localStorage.setItem("millrace", ${JSON.stringify(JSON.stringify({ theme, zone: "UTC" }))})
      document.addEventListener("securitypolicyviolation", (event) => tellViolation(event.violatedDirective + " " + event.blockedURI))`,
  })
  page.on("console", (message) => {
    if (message.type() === "error") wrong.push(`console: ${message.text()}`)
  })
  page.on("pageerror", (error) => wrong.push(`uncaught: ${error.message}`))
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(base).origin) wrong.push(`foreign: ${request.url()}`)
  })
  page.on("requestfinished", (request) => {
    if (request.resourceType() !== "script") return
    void request.sizes().then(
      ({ responseBodySize }) => scripts.set(new URL(request.url()).pathname, responseBodySize),
      () => {},
    )
  })
  return { page, context, wrong, scripts, close: () => context.close() }
}

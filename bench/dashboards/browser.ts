// A real browser that reaches this machine and nothing else: what a page asks of others fails at once, and is told.
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core"
import { findChromium } from "../../scripts/chromium.mjs"
import type { Board } from "./board.ts"

export async function launchBrowser(): Promise<Browser> {
  const executablePath = findChromium()
  if (!executablePath) throw new Error("No browser: install chromium (apt-get install chromium), or set CHROMIUM_PATH.")
  // Signals are ours, or the servers would outlive us.
  const signals = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false }
  const alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
  return chromium.launch({
    executablePath,
    ...signals,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", alone],
  })
}

export interface Visitor {
  /** A page of somebody who has signed in and has nothing else in the browser's cache. */
  fresh(): Promise<Page>
  /** Other hosts that a page has asked for something. */
  readonly foreign: ReadonlySet<string>
}

export async function visitorOf(browser: Browser, board: Board): Promise<Visitor> {
  const foreign = new Set<string>()
  const look = { viewport: { width: 1_440, height: 900 }, colorScheme: "light" } satisfies BrowserContextOptions
  const open = async (options: BrowserContextOptions) => {
    const context = await browser.newContext({ ...look, ...options })
    const page = await context.newPage()
    page.on("request", (request) => {
      const { protocol, host, origin } = new URL(request.url())
      if (protocol.startsWith("http") && origin !== new URL(board.url).origin) foreign.add(host)
    })
    return page
  }
  const door = await open({})
  await board.enter?.(door)
  const storageState = await door.context().storageState()
  await door.context().close()
  return { fresh: () => open({ storageState }), foreign }
}

/** Until nothing is asked for and nothing has changed in the page for half a second: what follows meets it at rest. */
export async function settle(page: Page): Promise<void> {
  // A page that is live asks for ever.
  await page.waitForLoadState("networkidle", { timeout: 5_000 }).catch(() => {})
  await page.evaluate(`new Promise((resolve) => {
    const end = () => (observer.disconnect(), resolve())
    let timer = setTimeout(end, 500)
    const observer = new MutationObserver(() => (clearTimeout(timer), (timer = setTimeout(end, 500))))
    observer.observe(document, { subtree: true, childList: true, characterData: true })
    setTimeout(end, 5_000)
  })`)
}

import type { Browser } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { defineJob } from "millrace"
import type { Role } from "millrace/web"
import { executablePath, launch, watch } from "./browser.ts"
import { fill } from "./pages.ts"
import { startSite, type Site } from "./site.ts"

/** Text that would run, load or break something, were it ever taken for markup. */
const corpus = [
  "<script>window.owned=1</script>",
  '"><img src=x onerror="window.owned=1">',
  "<svg/onload=window.owned=1>",
  "</textarea><script>window.owned=1</script>",
  "javascript:window.owned=1",
  "<iframe srcdoc='<script>parent.owned=1</script>'>",
  "<style>*{display:none}</style>",
  "<base href='https://evil.example/'>",
  "<link rel=stylesheet href=https://evil.example/x.css>",
  "{{constructor.constructor('window.owned=1')()}}",
  "${window.owned=1}",
  "'-window.owned=1-'",
  "\u202Egnp.exe\u0007\u2028",
  "<a href='javascript:window.owned=1'>click</a>",
  "<form action=https://evil.example><input name=q>",
]

const hostile = defineJob({ name: "hostile", queue: "quick", maxAttempts: 1 })

describe.skipIf(!executablePath)("text from jobs", () => {
  let site: Site
  let browser: Browser
  let id: string
  beforeAll(async () => {
    site = await startSite()
    const worker = await site.fixture.worker(site.app, {
      id: "hostile-worker",
      handlers: [
        hostile.handler((_, job) => {
          for (const text of corpus) job.log(text, { [text]: text })
          job.progress({ [corpus[0]!]: corpus[1] })
          const error = new Error(corpus.join("\n"))
          error.name = corpus[1]!
          error.stack = corpus.join("\n")
          throw error
        }),
      ],
    })
    const payload = { ...Object.fromEntries(corpus.map((text) => [text, text])), list: corpus }
    const job = await site.app.push(hostile, payload, {
      tags: [corpus[0]!.slice(0, 60)],
      uniqueKey: corpus[1]!,
      meta: { [corpus[2]!]: corpus },
    })
    await site.app.wait([job])
    await worker.stop()
    id = job.id
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    await site?.[Symbol.asyncDispose]()
  })

  it.each([
    "/jobs",
    "/jobs?q=state%3Afailed&panel=ID",
    "/jobs/ID",
    "/",
    "/errors",
    `/jobs?q=${encodeURIComponent(corpus[1]!)}`,
  ])("is shown as text at %s", async (path) => {
    const { page, wrong, close } = await watch(browser, site.url)
    page.on("dialog", (dialog) => {
      wrong.push(`dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
    await page.goto(path.replace("ID", id))
    await page.locator(".skeleton").first().waitFor({ state: "detached" })
    if (path.includes("ID")) {
      await page.getByRole("log").waitFor()
      await page.keyboard.press("e")
      await page.locator("dialog textarea").waitFor()
    }
    expect(await page.evaluate("window.owned")).toBeUndefined()
    expect(
      await page.locator("main iframe, main script, main style, main link, main base, main form[action*=evil]").count(),
    ).toBe(0)
    expect(await page.locator("a[href^='javascript:']").count()).toBe(0)
    expect(wrong).toEqual([])
    await close()
  })
})

describe.skipIf(!executablePath)("who may do what", () => {
  let site: Site
  let browser: Browser
  let pages: readonly string[]
  let failed: string
  beforeAll(async () => {
    site = await startSite()
    ;({ pages, failed } = await fill(site))
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    await site?.[Symbol.asyncDispose]()
  })

  const acting =
    "main button:text-matches('^(Retry|Edit|Delete|Cancel|Pause|Resume|Limits|Push a job|New |Revoke|Save view|Run now)')"

  it.each<[Role, boolean]>([
    ["viewer", false],
    ["operator", true],
    ["admin", true],
  ])("a %s sees every page, and buttons for what it may do: %s", { timeout: 120_000 }, async (role, mayAct) => {
    site.become({ name: role, role })
    const { page, wrong, close } = await watch(browser, site.url)
    const offered: string[] = []
    for (const path of pages) {
      await page.goto(path)
      await page.locator(".skeleton").first().waitFor({ state: "detached" })
      const texts = await page.locator(acting).allTextContents()
      offered.push(...texts.map((text) => `${path} ${text}`))
    }
    if (mayAct) expect(offered).toContain(`/jobs/${failed} Retry`)
    else expect(offered).toEqual([])
    const refused = wrong.filter((text) => text.includes("403"))
    expect(wrong.filter((text) => !text.includes("404") && !refused.includes(text))).toEqual([])
    // Only the audit and the tokens are not for everybody, and only those pages ask for them.
    if (role === "admin") expect(refused).toEqual([])
    await close()
  })

  it("nobody that is signed out sees anything but the way in", async () => {
    site.become(undefined as never)
    const { page, close } = await watch(browser, site.url)
    await page.goto("/jobs")
    await page.getByRole("heading", { name: "Sign in" }).waitFor()
    expect(await page.locator("tbody").count()).toBe(0)
    await close()
  })
})

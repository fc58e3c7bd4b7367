import type { Browser, Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/until.ts"
import { executablePath, launch, watch, type Watched } from "./browser.ts"
import { invoice, quick, seed, startSite, type Site } from "./site.ts"

let site: Site
let browser: Browser

beforeAll(async () => {
  if (!executablePath) return
  site = await startSite()
  await seed(site)
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await site?.[Symbol.asyncDispose]()
})

async function looking(act: (page: Page, watched: Watched) => Promise<void>): Promise<void> {
  const watched = await watch(browser, site.url)
  try {
    await act(watched.page, watched)
    expect(watched.wrong).toEqual([])
  } finally {
    await watched.close()
  }
}

describe.skipIf(!executablePath)("the dashboard in a browser", () => {
  it("leads from a value in a payload to the failed job, its error, an edit, and its success, by keyboard alone", async () => {
    await looking(async (page) => {
      await page.goto("/")
      await page.locator("main").getByRole("link", { name: "Workers", exact: true }).waitFor()
      await page.keyboard.press("g")
      await page.keyboard.press("j")
      await page.waitForURL("**/jobs")
      await page.keyboard.press("/")
      await page.keyboard.type("state:failed payload.customer.id:4711")
      await page.keyboard.press("Enter")
      await page.waitForURL(/payload\.customer\.id/)
      await page.locator("tbody tr[data-job]").first().waitFor()
      expect(await page.locator("tbody tr[data-job]").count()).toBe(1)
      await page.keyboard.press("Escape")
      await page.keyboard.press("j")
      await page.keyboard.press("Enter")
      await page.getByRole("heading", { name: "send-invoice" }).waitFor()
      await page.getByText("cannot charge -5 to customer 4711").first().waitFor()
      await page.getByText("attempt 1", { exact: true }).waitFor()
      await page.keyboard.press("e")
      const editor = page.getByRole("textbox", { name: "Payload" })
      await editor.waitFor()
      await page.keyboard.press("Control+a")
      await page.keyboard.insertText(JSON.stringify({ customer: { id: 4711, name: "Ada" }, amount: 5 }))
      await page.keyboard.press("Control+Enter")
      await page.locator(".job-detail header").getByText("succeeded").waitFor()
      await page.getByText("INV-4711").waitFor()
    })
  })

  it("keeps the search, the selection and the panel in the address, so that a reload shows the same", async () => {
    await looking(async (page) => {
      await page.goto("/jobs?q=name%3Aquick%20state%3Asucceeded")
      const rows = page.locator("tbody tr[data-job]")
      await rows.nth(5).waitFor()
      await page.keyboard.press("j")
      await page.keyboard.press("x")
      await page.keyboard.press("j")
      await page.keyboard.press("j")
      await page.keyboard.press("X")
      await page.getByText("3 selected").waitFor()
      await page.keyboard.press("o")
      await page.locator("aside.panel h2", { hasText: "quick" }).waitFor()
      await page.reload()
      await page.getByText("3 selected").waitFor()
      await page.locator("aside.panel h2", { hasText: "quick" }).waitFor()
      expect(await page.locator("tr[aria-selected=true]").count()).toBe(3)
    })
  })

  it("shows what new jobs there are without moving a row", async () => {
    await looking(async (page) => {
      await page.goto("/jobs?q=name%3Aquick")
      const first = page.locator("tbody tr[data-job]").first()
      await first.waitFor()
      const before = await first.getAttribute("data-job")
      await page.locator(".live", { hasText: "Live" }).waitFor()
      await site.app.pushMany(quick, [{ news: 1 }, { news: 2 }])
      await page.getByRole("button", { name: "2 new" }).waitFor()
      expect(await first.getAttribute("data-job")).toBe(before)
      await page.getByRole("button", { name: "2 new" }).click()
      await until("the new ones are on top", async () => (await first.getAttribute("data-job")) !== before)
    })
  })

  it("shows a job's state as it changes", async () => {
    await looking(async (page) => {
      const job = await site.app.push(quick, { soon: true }, { runAt: "in 1h" })
      await page.goto(`/jobs/${job.id}`)
      const state = page.locator(".job-detail header .badge")
      await state.getByText("scheduled").waitFor()
      await job.update({ runAt: "in 0ms" })
      await state.getByText("succeeded").waitFor()
    })
  })

  it("deletes everything that matches after saying how many, and brings it back", async () => {
    await site.app.pushMany(
      quick,
      Array.from({ length: 250 }, (_, index) => ({ batch: index })),
      { tags: ["bulk"], runAt: "in 3h" },
    )
    const left = async () => (await site.app.find({ tags: ["bulk"] }, { limit: 1_000 })).jobs.length
    await looking(async (page) => {
      await page.goto("/jobs?q=tag%3Abulk")
      await page.locator("tbody tr[data-job]").first().waitFor()
      await page.getByLabel("Select all that are shown").check()
      await page.getByRole("button", { name: "All that match" }).click()
      await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click()
      const sure = page.getByRole("dialog").getByRole("button", { name: "Delete 250 jobs" })
      await sure.waitFor()
      expect(await left()).toBe(250)
      await sure.click()
      await page.getByText("250 jobs deleted").waitFor()
      expect(await left()).toBe(0)
      await page.getByRole("button", { name: "Undo" }).click()
      await page.getByText("250 jobs put back").waitFor()
      expect(await left()).toBe(250)
    })
  })

  it("saves a search as a view for everybody", async () => {
    await looking(async (page) => {
      await page.goto("/jobs?q=state%3Afailed")
      await page.getByRole("button", { name: "Save view" }).click()
      await page.getByRole("textbox", { name: "Name" }).fill("What failed")
      await page.keyboard.press("Enter")
      const link = page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "What failed" })
      await link.waitFor()
      await page.goto("/")
      await link.click()
      await page.waitForURL(/q=state/)
    })
  })

  it("completes fields and values of a search by keyboard", async () => {
    await looking(async (page) => {
      await page.goto("/jobs")
      const field = page.getByRole("combobox", { name: "Search jobs" })
      await field.focus()
      await page.keyboard.type("sta")
      await page.keyboard.press("Tab")
      expect(await field.inputValue()).toBe("state:")
      await page.keyboard.type("fai")
      await page.getByRole("option", { name: "failed", exact: true }).waitFor()
      await page.keyboard.press("Tab")
      expect(await field.inputValue()).toBe("state:failed ")
      await page.keyboard.type("queue:bil")
      await page.getByRole("option", { name: "billing", exact: true }).waitFor()
      await page.keyboard.press("ArrowDown")
      await page.keyboard.press("Enter")
      expect(await field.inputValue()).toBe("state:failed queue:billing ")
    })
  })

  it("says of each word of a search whether an index answers it", async () => {
    await looking(async (page) => {
      await page.goto("/jobs?q=queue%3Abilling%20payload.customer.id%3A7")
      await page.locator(".terms .indexed", { hasText: "queue:billing" }).waitFor()
      await page.locator(".terms .scanned", { hasText: "payload.customer.id:7" }).waitFor()
    })
  })

  it("tells a word that it cannot read, and searches nothing", async () => {
    const watched = await watch(browser, site.url)
    await watched.page.goto("/jobs?q=stat%3Afailed")
    await watched.page.getByText('There is no field "stat"').first().waitFor()
    await watched.close()
  })

  it("pauses a queue so that workers stop claiming, and resumes it", async () => {
    await looking(async (page) => {
      await page.goto("/queues/billing")
      await page.getByRole("button", { name: "Pause", exact: true }).click()
      await page.getByRole("button", { name: "Resume" }).waitFor()
      await until("the queue is paused", async () => (await site.app.queue("billing")).paused)
      const job = await site.app.push(invoice, { customer: { id: 1, name: "Tony" }, amount: 1 })
      expect((await job.get())?.state).toBe("pending")
      await page.getByRole("button", { name: "Resume" }).click()
      await job.result({ timeout: "20s" })
    })
  })

  it("pushes a job and leads to it", async () => {
    await looking(async (page) => {
      await page.goto("/jobs")
      await page.getByRole("button", { name: "Push a job" }).click()
      await page.getByRole("combobox", { name: "Name", exact: true }).last().fill("quick")
      await page.getByRole("textbox", { name: "Payload" }).fill('{ "from": "the dashboard" }')
      await page.keyboard.press("Control+Enter")
      await page.getByRole("button", { name: "Open it" }).click()
      await page.getByRole("heading", { name: "quick" }).waitFor()
      await page.locator(".job-detail header .badge").getByText("succeeded").waitFor()
    })
  })

  it("goes to a page, a queue and a job from the palette", async () => {
    await looking(async (page) => {
      await page.goto("/")
      await page.locator("main").getByRole("link", { name: "Workers", exact: true }).waitFor() // it hears keys from now on
      await page.keyboard.press("Control+k")
      await page.keyboard.type("billing")
      await page.getByRole("option", { name: "billing queue" }).waitFor()
      await page.keyboard.press("Enter")
      await page.waitForURL("**/queues/billing")
      const [job] = (await site.app.find({ name: "quick" }, { limit: 1 })).jobs
      await page.keyboard.press("Control+k")
      await page.keyboard.type(job!.id)
      await page.keyboard.press("Enter")
      await page.waitForURL(`**/jobs/${job!.id}`)
    })
  })

  it("keeps who did what, with what was before and after", async () => {
    await looking(async (page) => {
      await page.goto("/audit")
      const row = page.locator("tbody tr", { hasText: "/queues/:name/pause" }).first()
      await row.waitFor()
      expect(await row.textContent()).toContain("ada")
      await row.locator(".expand").click()
      await page.getByLabel("Before", { exact: true }).waitFor()
    })
  })

  it("shows when how many jobs waited how long, with the figures as a table, and the jobs behind a column", async () => {
    await looking(async (page) => {
      await page.goto("/metrics?heat=wait")
      const card = page.locator(".card", { has: page.getByRole("heading", { name: "How long jobs waited" }) })
      await card.locator("svg .cell").first().waitFor()
      await card.getByRole("button", { name: "Table" }).click()
      const table = card.getByRole("region", { name: "How long jobs waited" })
      await table.waitFor()
      const cells = await table.locator("tbody td.right").allTextContents()
      expect(cells.map((text) => Number(text.replaceAll(",", ""))).reduce((sum, one) => sum + one)).toBeGreaterThan(30)
      await card.getByRole("button", { name: "ran" }).click()
      await page.getByRole("heading", { name: "How long jobs ran" }).waitFor()
      await page.waitForURL("**/metrics?heat=run")
      await page.getByRole("button", { name: "Table" }).first().waitFor()
      const ran = page.locator(".card", { has: page.getByRole("heading", { name: "How long jobs ran" }) })
      await ran.getByRole("button", { name: "Table" }).click()
      await ran.locator("svg .cell").last().click()
      await page.waitForURL(/\/jobs\?q=finished/)
      await page.locator("tbody tr[data-job]").first().waitFor()
    })
  })

  it("puts a failed run beside one that went well, by keyboard", async () => {
    const good = await site.app.push(invoice, { amount: 12, customer: { name: "Same", id: 99 } })
    await good.result({ timeout: "20s" })
    const bad = await site.app.push(invoice, { customer: { id: 99, name: "Same" }, amount: -12 })
    await site.app.wait([bad])
    await looking(async (page) => {
      await page.goto(`/jobs/${bad.id}`)
      await page.getByRole("heading", { name: "send-invoice" }).waitFor()
      await page.keyboard.press("v")
      await page.getByRole("combobox", { name: "Against" }).selectOption(good.id)
      const part = (name: string) => page.getByRole("region", { name: `${name}: the other run against this one` })
      await part("Payload").waitFor()
      const changed = async (name: string) =>
        (await part(name).locator(".added, .removed").allTextContents()).map((text) => text.trim())
      expect(await changed("Payload")).toEqual(['−   "amount": 12,', '+   "amount": -12,'])
      expect((await changed("Result")).join()).toContain('"number": "INV-99"')
      expect((await changed("Error"))[0]).toBe("− none")
      expect((await changed("Error"))[1]).toContain("+ RangeError: cannot charge -12")
      await page.keyboard.press("Escape")
      await page.locator("dialog").waitFor({ state: "detached" })
    })
  })

  it("marks a deployment on every chart, and takes the mark away", async () => {
    await looking(async (page) => {
      await page.goto("/metrics")
      await page.getByRole("button", { name: "Add a mark" }).click()
      await page.keyboard.type("release 1.4.2")
      await page.keyboard.press("Enter")
      await page.getByRole("region", { name: "Marks" }).getByText("release 1.4.2").waitFor()
      for (const chart of ["What ended", "How long jobs waited"]) {
        const card = page.locator(".card", { has: page.getByRole("heading", { name: chart }) })
        await card.locator("line.mark").first().waitFor({ state: "attached" })
        expect(await card.locator("line.mark title").textContent()).toContain("release 1.4.2")
      }
      await page.goto("/")
      await page.locator("main line.mark").waitFor({ state: "attached" })
      await page.goto("/metrics")
      await page.getByRole("button", { name: "Remove the mark release 1.4.2" }).click()
      await page.getByText("None in this time.").waitFor()
      expect(await page.locator("line.mark").count()).toBe(0)
    })
  })

  it("makes a token that is shown once, and revokes it", async () => {
    await looking(async (page) => {
      await page.goto("/settings")
      await page.getByRole("button", { name: "New token" }).click()
      await page.getByRole("textbox", { name: "Name" }).fill("a program")
      await page.getByRole("button", { name: "Make the token" }).click()
      const secret = (await page.locator("dialog pre").textContent())!
      const ask = () => fetch(new URL("api/v1/jobs", site.url), { headers: { authorization: `Bearer ${secret}` } })
      expect((await ask()).status).toBe(200)
      await page.getByRole("button", { name: "Done" }).click()
      await page.getByRole("button", { name: "Revoke" }).click()
      await page.getByText("Revoked.").waitFor()
    })
  })

  it("shows that a queue has no worker, and where its jobs wait", async () => {
    await looking(async (page) => {
      await page.goto("/")
      await page.getByRole("link", { name: "No live worker runs labels." }).click()
      await page.getByText("No live worker serves this queue").waitFor()
    })
  })
})

// How long a page takes, with everything in the browser's cache, from the navigation until one sees what one came for.
import { errors, type Page } from "playwright-core"
import { median, percentile, type Figures } from "../figures.ts"
import { viewNames, type Board, type View } from "./board.ts"
import { settle, type Visitor } from "./browser.ts"

const TIMES = 7
const LIMIT = 30_000

export interface PageTimes {
  median: Figures
  p95: Figures
  /** Rows of the list that one sees without scrolling. */
  rowsOnScreen: number
}

export async function pageTimes(board: Board, visitor: Visitor, say: (text: string) => void): Promise<PageTimes> {
  const page = await visitor.fresh()
  const times: PageTimes = { median: {}, p95: {}, rowsOnScreen: 0 }
  const note = async (name: string, measure: (() => Promise<number>) | null) => {
    const taken = measure && (await repeat(measure))
    times.median[name] = taken && median(taken)
    times.p95[name] = taken && percentile(taken, 0.95)
    if (measure)
      say(`${name.padEnd(20)} ${taken ? taken.map(Math.round).join(" ") : `not within ${LIMIT / 1_000} s`} ms`)
  }
  for (const name of viewNames) {
    const view = board.views[name]
    await note(name, view && (() => untilShown(page, board, view)))
  }
  const list = board.views.list!
  times.rowsOnScreen = await rowsOnScreen(page, board, list)
  await note("next page", async () => {
    await untilShown(page, board, list)
    await settle(page)
    return within(page.evaluate<number>(board.turn))
  })
  await page.context().close()
  return times
}

/** Null: it does not end in time. The first time fills the caches, and does not count. */
async function repeat(measure: () => Promise<number>): Promise<number[] | null> {
  const taken: number[] = []
  try {
    for (let time = 0; time <= TIMES; time++) taken.push(await measure())
    return taken.slice(1)
  } catch (error) {
    if (error instanceof Overdue) return null
    throw error
  }
}

class Overdue extends Error {}

/** By the page's own clock, which starts with the navigation; looked at in every frame. */
export async function untilShown(page: Page, { url }: Board, { path, shown, rows }: View): Promise<number> {
  await page.goto(url + path, { waitUntil: "commit", timeout: LIMIT }).catch((error: unknown) => {
    throw error instanceof errors.TimeoutError ? new Overdue(error.message) : error
  })
  return within(
    page.evaluate<number>(`new Promise((resolve) => {
      const look = () =>
        document.querySelectorAll(${JSON.stringify(shown)}).length >= ${rows} ? resolve(performance.now()) : requestAnimationFrame(look)
      look()
    })`),
  )
}

async function within(work: Promise<number>): Promise<number> {
  let timer: NodeJS.Timeout | undefined
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Overdue("too slow")), LIMIT)
  })
  work.catch(() => {}) // when it was too slow, nobody waits for it any more
  return Promise.race([work, overdue]).finally(() => clearTimeout(timer))
}

async function rowsOnScreen(page: Page, board: Board, list: View): Promise<number> {
  await untilShown(page, board, list)
  await settle(page)
  return page.evaluate<number>(`[...document.querySelectorAll(${JSON.stringify(list.shown)})]
    .filter((row) => row.getBoundingClientRect().bottom <= innerHeight).length`)
}

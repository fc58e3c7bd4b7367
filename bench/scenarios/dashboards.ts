// The dashboards of Millrace, BullMQ and pg-boss, each at its defaults over as many jobs, in one browser.
import { cpus } from "node:os"
import type { Browser } from "playwright-core"
import { axeFindings } from "../dashboards/axe.ts"
import type { Board, Open } from "../dashboards/board.ts"
import { launchBrowser, visitorOf } from "../dashboards/browser.ts"
import { firstLoad } from "../dashboards/first-load.ts"
import { pageTimes } from "../dashboards/page-times.ts"
import type { Figures } from "../figures.ts"
import { machineCpu, now, treeCpu, worstLoad } from "../measure.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"

const JOBS = 2_000_000

export const dashboards: Scenario = {
  summary:
    "axe findings, script bytes, foreign requests and page times in ms beside bull-board and pg-boss, 2,000,000 jobs",
  peers: false,
  rounds: 1,
  limit: 45 * 60,
  columns: true,
  measure,
}

interface Seen {
  figures: Figures
  notes: Record<string, unknown>
  versions: Record<string, string>
  foreignLoad: number
}

async function measure({ server, options, say }: Run): Promise<Measurement> {
  const jobs = options.jobs ?? JOBS
  const boards: [string, Open][] = [
    ["millrace", (await import("../dashboards/millrace.ts")).openMillrace], // drives millrace in this process
    ["bull-board", (await import("../dashboards/bull-board.ts")).openBullBoard],
    ["pg-boss", (await import("../dashboards/pg-boss.ts")).openPgBoss],
  ]
  const browser = await launchBrowser()
  const seen: [string, Seen][] = []
  try {
    for (const [name, open] of boards) {
      const tell = (text: string) => say(`${name}: ${text}`)
      const one = await open({ server, jobs, say: tell }, (board) => look(browser, board, jobs, tell))
      if (one) seen.push([name, one])
    }
    const skipped = boards.map(([name]) => name).filter((name) => !seen.some(([other]) => other === name))
    return together(seen, skipped, browser.version())
  } finally {
    await browser.close()
  }
}

function together(seen: readonly [string, Seen][], skipped: readonly string[], chromium: string): Measurement {
  const each = <T>(part: (one: Seen) => T) => Object.fromEntries(seen.map(([name, one]) => [name, part(one)]))
  return {
    figures: each(({ figures }) => figures),
    notes: { ...each(({ notes, foreignLoad }) => ({ ...notes, foreignLoad })), ...(skipped.length > 0 && { skipped }) },
    versions: Object.assign({ chromium }, ...seen.map(([, { versions }]) => versions)) as Record<string, string>,
    foreignLoad: worstLoad(seen.map(([, { foreignLoad }]) => foreignLoad)),
  }
}

async function look(browser: Browser, board: Board, jobs: number, say: Run["say"]): Promise<Seen> {
  say(`open at ${board.url}`)
  const load = startLoad()
  const visitor = await visitorOf(browser, board)
  const scripts = await firstLoad(board, visitor)
  say(`script bytes: ${scripts.wire} over the wire, ${scripts.decoded} decoded`)
  const times = await pageTimes(board, visitor, say)
  const rules = await axeFindings(board, visitor)
  const axeNodes = [...rules.values()].reduce((sum, nodes) => sum + nodes, 0)
  say(
    `axe: ${axeNodes} failing nodes on ${board.pages.length} pages; asks ${[...visitor.foreign].join(", ") || "nobody else"}`,
  )
  return {
    figures: {
      jobs,
      axeNodes,
      axePages: board.pages.length,
      foreignHosts: visitor.foreign.size,
      scriptBytes: scripts.wire,
      scriptBytesDecoded: scripts.decoded,
      rowsOnScreen: times.rowsOnScreen,
      medianMs: times.median,
      p95Ms: times.p95,
    },
    notes: { axeNodesByRule: Object.fromEntries(rules), axePages: board.pages, foreignHosts: [...visitor.foreign] },
    versions: board.versions,
    foreignLoad: load(),
  }
}

/** The share of the machine that neither this process nor anything it has started takes. */
function startLoad(): () => number {
  const read = () => ({ at: now(), machine: machineCpu(), own: treeCpu(process.pid) })
  const before = read()
  return () => {
    const { at, machine, own } = read()
    return Math.max(0, (machine - before.machine - (own - before.own)) / (((at - before.at) / 1_000) * cpus().length))
  }
}

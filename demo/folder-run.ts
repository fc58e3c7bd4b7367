// One folder from beginning to end: look at it, run its jobs, run the plain loop, compare.
import type { Millrace } from "millrace"
import type pg from "pg"
import { count, plainText, size } from "./format.ts"
import { agree, differences, explain, type Difference } from "./compare.ts"
import { jobPass, type Run } from "./job-pass.ts"
import { plainPass, sum, type Measured } from "./plain-pass.ts"
import { recheck } from "./recheck.ts"
import { startProgress } from "./progress.ts"
import type { Screen } from "./screen.ts"
import { showSummary } from "./summary.ts"
import { failuresOf, storedJobs, totalsOf } from "./totals.ts"
import { scan, type Scan } from "./walk.ts"

export interface Stage {
  screen: Screen
  app: Millrace
  pool: pg.Pool
  pidOf: (id: string) => number | undefined
  stop: AbortSignal
  /** Ends everything, as Ctrl-C does. */
  interrupt: () => void
}

let runs = 0

export async function announceFolder(screen: Screen, folder: string, stop: AbortSignal): Promise<Scan> {
  const found = await scan(folder, stop)
  screen.line(fact("folder", plainText(folder)))
  screen.line(fact("files", `${count(found.files, "file")}, ${size(found.bytes)}${passedOver(found)}`))
  return found
}

export const fact = (label: string, text: string): string => `  ${label.padEnd(9)}${text}`

function passedOver({ links, special, closed }: Scan): string {
  const parts = [
    links > 0 ? count(links, "symbolic link") : "",
    special > 0 ? count(special, "special file") : "",
    closed > 0 ? count(closed, "unreadable folder") : "",
  ].filter((part) => part !== "")
  return parts.length === 0 ? "" : ` (passed over: ${parts.join(", ")})`
}

/** @returns whether both passes agree. */
export async function runFolder(stage: Stage, folder: string, found: Scan): Promise<boolean> {
  const { screen, app, pool, stop, pidOf } = stage
  const run: Run = { folder, tag: `run-${++runs}`, expected: found.files, since: Date.now() }
  screen.line()
  const account = await jobPass(app, pool, run, startProgress(screen, "jobs", "jobs"), stop)
  const plain = await plainPass(folder, found.files, startProgress(screen, "plain", "files"), stop)
  const { jobs, all, again } = await compare(stage, run, plain.all)
  const totals = sum(all)
  showSummary(screen, { jobs, plain: totals, account, plainSeconds: plain.seconds, pidOf })
  if (again > 0) screen.line(`  ${count(again, "file")} changed meanwhile, and went through both passes again.`)
  if (jobs.failed > 0) await showFailures(stage, run.tag, jobs.failed)
  const same = agree(jobs, totals)
  if (same) screen.line(`  ${screen.paint.green("All totals agree.")}`)
  else showDisagreement(screen, differences(await storedJobs(pool, run.tag), all))
  return same
}

const rechecks = 3

async function compare({ app, pool, stop }: Stage, run: Run, all: Measured[]) {
  let jobs = await totalsOf(pool, run.tag)
  let plain = all
  let again = 0
  for (let round = 1; round <= rechecks && !agree(jobs, sum(plain)); round++) {
    const rechecked = await recheck(app, pool, run, plain, stop)
    if (rechecked.again === 0) break
    plain = rechecked.all
    again = Math.max(again, rechecked.again)
    jobs = await totalsOf(pool, run.tag)
  }
  return { jobs, all: plain, again }
}

const shown = 5

async function showFailures({ screen, pool }: Stage, tag: string, failed: number): Promise<void> {
  for (const { file, message } of await failuresOf(pool, tag, shown)) {
    screen.line(`  ${screen.paint.yellow("failed")}  ${plainText(`${file}: ${message}`)}`)
  }
  if (failed > shown) screen.line(`          and ${count(failed - shown, "more", "more")}`)
  screen.line()
}

function showDisagreement(screen: Screen, found: Difference[]): void {
  screen.line(`  ${screen.paint.red("The totals do not agree.")}`)
  for (const difference of found.slice(0, shown)) screen.line(`  ${plainText(explain(difference))}`)
  if (found.length > shown) screen.line(`  and ${count(found.length - shown, "more", "more")}`)
}

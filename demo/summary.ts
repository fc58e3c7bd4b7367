// Both passes side by side.
import { bar, count, percent, size, time, whole } from "./format.ts"
import type { Screen } from "./screen.ts"
import type { Account, Totals } from "./totals.ts"

export interface Comparison {
  jobs: Totals
  plain: Totals
  account: Account
  plainSeconds: number
  pidOf: (id: string) => number | undefined
}

interface Row {
  label: string
  jobs: string
  plain: string
  same: boolean
}

function rows(jobs: Totals, plain: Totals): Row[] {
  const row = (label: string, key: Exclude<keyof Totals, "digest">): Row => ({
    label,
    jobs: whole(jobs[key]),
    plain: whole(plain[key]),
    same: jobs[key] === plain[key],
  })
  return [
    row("files", "files"),
    row("lines", "lines"),
    row("bytes", "bytes"),
    row("gzip bytes", "gzip"),
    row("unreadable", "failed"),
    { label: "digest of digests", ...digests(jobs.digest, plain.digest) },
  ]
}

const digests = (jobs: string, plain: string) => ({
  jobs: `${jobs.slice(0, 16)}…`,
  plain: `${plain.slice(0, 16)}…`,
  same: jobs === plain,
})

const line = (label: string, jobs: string, plain: string): string =>
  `  ${label.padEnd(18)}${jobs.padStart(20)}${plain.padStart(20)}`

export function showSummary(screen: Screen, { jobs, plain, account, plainSeconds, pidOf }: Comparison): void {
  const { bold, dim, green, red } = screen.paint
  screen.line()
  screen.line(bold(line("", "jobs", "plain loop")))
  for (const row of rows(jobs, plain)) {
    screen.line(`${line(row.label, row.jobs, row.plain)}  ${row.same ? green("✓") : red("✗")}`)
  }
  screen.line(dim(`  ${"─".repeat(61)}`))
  screen.line(line("time", time(account.seconds), time(plainSeconds)))
  screen.line(line("files per second", ...rates(jobs, plain, account.seconds, plainSeconds)))
  screen.line()
  showShares(screen, account, pidOf)
  const { attempts, retries, crashes, p50, p95 } = account
  screen.line(`  ${"push to done".padEnd(18)}p50 ${time(p50)}, p95 ${time(p95)}`)
  screen.line(
    `  ${"attempts".padEnd(18)}${whole(attempts)}, with ${count(retries, "retry", "retries")} and ${count(jobs.failed, "failure")}`,
  )
  if (crashes > 0) screen.line(`  ${"".padEnd(18)}${count(crashes, "job")} of a lost worker ran elsewhere`)
  screen.line()
}

function rates(jobs: Totals, plain: Totals, jobSeconds: number, plainSeconds: number): [string, string] {
  const rate = (totals: Totals, seconds: number) =>
    seconds > 0 ? whole((totals.files + totals.failed) / seconds) : "–"
  return [rate(jobs, jobSeconds), rate(plain, plainSeconds)]
}

function showShares(screen: Screen, { shares }: Account, pidOf: Comparison["pidOf"]): void {
  const all = shares.reduce((sum, { jobs }) => sum + jobs, 0)
  for (const { id, jobs, bytes } of shares) {
    const who = `${id} (pid ${pidOf(id) ?? "?"})`.padEnd(24)
    const drawn = `${screen.paint.cyan(bar(jobs / all, 10))} ${percent(jobs, all).padStart(7)}`
    screen.line(`  ${who}${count(jobs, "job").padStart(14)}  ${drawn}  ${size(bytes)}`)
  }
}

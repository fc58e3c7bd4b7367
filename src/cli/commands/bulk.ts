import type { BulkOptions, BulkReport, JobFilter, Millrace } from "../../index.ts"
import { UsageError, type Call, type Command } from "../command.ts"
import { confirmed, yesOption } from "../confirm.ts"
import { filterOf, filterOptions, isEmpty } from "../filter-options.ts"

/** Commands that act on the jobs that ids or a filter name. */
export const bulkCommands: readonly Command[] = [
  {
    name: "job cancel",
    summary: "Cancels jobs, by id or filter",
    args: "[ID…]",
    most: 1_000,
    options: { ...filterOptions, reason: { type: "string", value: "TEXT", doc: "Stands with the job." }, ...yesOption },
    examples: [
      'millrace job cancel 01980f… --reason "no longer needed"',
      "millrace job cancel --queue media --state pending --yes",
    ],
    run: (call) =>
      act(call, "Cancel", "cancelled", (app, filter, options) => {
        const reason = call.text("reason")
        return app.cancelAll(filter, { ...options, ...(reason === undefined ? {} : { reason }) })
      }),
  },
  {
    name: "job retry",
    summary: "Runs jobs again, by id or filter",
    args: "[ID…]",
    most: 1_000,
    options: { ...filterOptions, ...yesOption },
    examples: ["millrace job retry 01980f…", 'millrace job retry --state failed --error "card" --yes'],
    run: (call) => act(call, "Retry", "ready to run again", (app, filter, options) => app.retryAll(filter, options)),
  },
  {
    name: "job delete",
    summary: "Deletes jobs for good, by id or filter",
    args: "[ID…]",
    most: 1_000,
    options: { ...filterOptions, ...yesOption },
    examples: ["millrace job delete 01980f…", 'millrace job delete --state cancelled --finished-before "7d ago" --yes'],
    run: (call) => act(call, "Delete", "deleted", (app, filter, options) => app.deleteAll(filter, options)),
  },
]

type Action = (app: Millrace, filter: JobFilter, options: BulkOptions) => Promise<BulkReport>

async function act(call: Call, verb: string, done: string, run: Action): Promise<number> {
  const ids = call.args
  const filter = filterOf(call, ids)
  if (isEmpty(filter)) throw new UsageError("which jobs? Give ids, or a filter such as --state failed.")
  const app = await call.app()
  if (ids.length === 0) {
    const { matched } = await run(app, filter, { dryRun: true })
    if (matched > 0 && !(await confirmed(`${verb} ${jobs(matched)}?`, call.flag("yes")))) return 1
  }
  const report = await run(app, filter, { onProgress: progress(call) })
  const missing = ids.length === 0 ? [] : await missingOf(app, ids, report)
  call.out.document({ ...report, missing })
  call.out.line(`${jobs(report.changed)} ${done}${report.refused > 0 ? `, ${report.refused} refused` : ""}`)
  for (const { message } of report.refusals) call.out.problem(message)
  for (const id of missing) call.out.problem(`There is no job ${id}.`)
  return report.refused > 0 || missing.length > 0 ? 1 : 0
}

/** Ids that no job had when it was looked for. */
async function missingOf(app: Millrace, ids: readonly string[], report: BulkReport): Promise<string[]> {
  if (report.matched === new Set(ids).size) return []
  const found = new Set([...(await app.find({ id: [...ids] }, { limit: 1_000 })).jobs.map((job) => job.id)])
  return ids.filter((id) => !found.has(id.toLowerCase())).slice(0, ids.length - report.matched)
}

const jobs = (count: number): string => `${count.toLocaleString("en")} ${count === 1 ? "job" : "jobs"}`

function progress(call: Call): (progress: { matched: number }) => void {
  return ({ matched }) => {
    if (process.stderr.isTTY && !call.out.json) process.stderr.write(`\r${matched.toLocaleString("en")} …\u001b[K\r`)
  }
}

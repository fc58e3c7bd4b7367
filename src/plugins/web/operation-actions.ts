import type { BulkReport, Refusal } from "../../client/bulk.ts"
import type { Context } from "../../client/context.ts"
import type { Millrace } from "../../client/millrace.ts"
import { failure } from "../../model/errors.ts"
import { moveJobs } from "./move.ts"
import type { OperationRow } from "./operation-store.ts"
import type { Permission } from "./permissions.ts"
import { restoreRows, type KeptRow } from "./recycle-bin.ts"

/** What can be done to many jobs, and what undoes it. */

export interface ActionContext {
  readonly app: Millrace
  readonly context: Context
  readonly input: Readonly<Record<string, unknown>>
}

interface Action {
  readonly permission: Permission
  readonly undoable: boolean
  /** Acts on at most a hundred jobs; each refusal comes with its reason. */
  run(context: ActionContext, ids: readonly string[]): Promise<readonly Refusal[]>
}

export type ActionName = "retry" | "run-now" | "cancel" | "delete" | "move" | "reprioritize"

const refusals = async (report: Promise<BulkReport>): Promise<readonly Refusal[]> => (await report).refusals

export const actions: Readonly<Record<ActionName, Action>> = {
  retry: {
    permission: "jobs:retry",
    undoable: false,
    run: ({ app }, ids) => refusals(app.retryAll({ id: ids })),
  },
  "run-now": {
    permission: "jobs:run",
    undoable: true,
    run: ({ app }, ids) => refusals(app.updateAll({ id: ids }, { runAt: "in 0ms" })),
  },
  cancel: {
    permission: "jobs:cancel",
    undoable: true,
    run: ({ app, input }, ids) => refusals(app.cancelAll({ id: ids }, { reason: String(input.reason ?? "cancelled") })),
  },
  delete: {
    permission: "jobs:delete",
    undoable: true,
    run: ({ app }, ids) => refusals(app.deleteAll({ id: ids })),
  },
  move: {
    permission: "jobs:edit",
    undoable: true,
    async run({ context, input }, ids) {
      const moved = await move(context, ids, String(input.queue))
      return missed(ids, moved, (id) => `Job ${id} runs, has finished, is there already, or its key is taken there.`)
    },
  },
  reprioritize: {
    permission: "jobs:edit",
    undoable: true,
    run: ({ app, input }, ids) => refusals(app.updateAll({ id: ids }, { priority: Number(input.priority) })),
  },
}

async function move({ db, names, notices }: Context, ids: readonly string[], queue: string): Promise<string[]> {
  const moved = await moveJobs(db, names, ids, queue)
  if (moved.length > 0) {
    notices.send({ kind: "ready", about: queue })
    notices.send({ kind: "later", about: queue })
  }
  return moved
}

function missed(ids: readonly string[], done: Iterable<string>, message: (id: string) => string): Refusal[] {
  const fine = new Set(done)
  return ids.filter((id) => !fine.has(id)).map((id) => ({ id, code: "MILLRACE_JOB_RUNNING", message: message(id) }))
}

/** Makes jobs again what they were before an operation, as far as nothing has happened to them since. */
export async function undo(
  context: ActionContext,
  of: Pick<OperationRow, "id" | "action">,
  rows: readonly KeptRow[],
): Promise<readonly Refusal[]> {
  if (of.action === "delete") return restore(context.context, of.id, rows)
  if (of.action === "cancel") return uncancel(context.app, rows)
  if (of.action === "move")
    return byOld(rows, "queue", async (ids, queue) => {
      const back = await move(context.context, ids, String(queue))
      return missed(ids, back, (id) => `Job ${id} has started or finished, or its key is taken there.`)
    })
  if (of.action === "reprioritize") {
    return byOld(rows, "rank", (ids, rank) =>
      refusals(context.app.updateAll({ id: ids }, { priority: -Number(rank) || 0 })),
    )
  }
  if (of.action === "run-now") {
    return byOld(rows, "run_at", (ids, at) =>
      refusals(context.app.updateAll({ id: ids }, { runAt: new Date(String(at)) })),
    )
  }
  throw failure("MILLRACE_BAD_OPTION", `"${of.action}" cannot be undone.`)
}

/** Once for all jobs that had the same value. */
async function byOld(
  rows: readonly KeptRow[],
  column: string,
  run: (ids: readonly string[], value: unknown) => Promise<readonly Refusal[]>,
): Promise<readonly Refusal[]> {
  const groups = new Map<unknown, string[]>()
  for (const { job, row } of rows) {
    const group = groups.get(row[column]) ?? []
    groups.set(row[column], group)
    group.push(job)
  }
  const refused: Refusal[] = []
  for (const [value, ids] of groups) refused.push(...(await run(ids, value)))
  return refused
}

async function restore(
  { db, names, notices }: Context,
  operation: string,
  rows: readonly KeptRow[],
): Promise<Refusal[]> {
  const ids = rows.map((row) => row.job)
  const back = await restoreRows(db, names, operation, ids)
  for (const about of new Set(back.map((row) => row.queue))) notices.send({ kind: "ready", about })
  const text = (id: string) => `Job ${id} is there again already, its unique key is taken, or its retention is over.`
  return missed(
    ids,
    back.map((row) => row.id),
    text,
  )
}

/** Only what this cancelled and is still cancelled comes back, at the time that it had. */
async function uncancel(app: Millrace, rows: readonly KeptRow[]): Promise<readonly Refusal[]> {
  const ids = rows.map((row) => row.job)
  const report = await app.retryAll({ id: ids, state: "cancelled" })
  const later = rows.filter(({ row }) => row.state === "scheduled" || row.state === "retrying")
  await byOld(later, "run_at", (some, at) => refusals(app.updateAll({ id: some }, { runAt: new Date(String(at)) })))
  const skipped = ids.length - report.matched
  const gone = skipped > 0 ? await notCancelled(app, ids, report) : []
  return [...report.refusals, ...gone]
}

async function notCancelled(app: Millrace, ids: readonly string[], report: BulkReport): Promise<Refusal[]> {
  const refused = new Set(report.refusals.map((one) => one.id))
  const back = await app.find({ id: ids, state: ["pending", "scheduled", "retrying", "running"] }, { limit: 1_000 })
  const fine = new Set(back.jobs.map((job) => job.id))
  const text = (id: string) => `Job ${id} is not cancelled any more, or has gone.`
  return ids
    .filter((id) => !fine.has(id) && !refused.has(id))
    .map((id) => ({ id, code: "MILLRACE_UNKNOWN_JOB", message: text(id) }))
}

import { failure } from "../model/errors.ts"
import { explanation, type Explanation, type Facts } from "../model/explanation.ts"
import { placed } from "../model/placement.ts"
import { explainJob, type ExplainRow } from "../postgres/explain.ts"
import { findJobs } from "../postgres/jobs.ts"
import { findQueue } from "../postgres/queues.ts"
import type { Context } from "./context.ts"
import { recordOf } from "./record.ts"

/** See `Millrace.explain`. One snapshot, so that the reasons fit together. */
export async function explain({ db, names }: Context, id: string, duplicate: boolean): Promise<Explanation> {
  const facts = await db.transaction(async (tx): Promise<Facts> => {
    await tx.query("set transaction isolation level repeatable read, read only")
    const [row] = await findJobs(tx, names, [id])
    if (!row) throw failure("MILLRACE_UNKNOWN_JOB", `There is no job ${id}, or its retention is over.`)
    const job = recordOf(row)
    const queue = await findQueue(tx, names, job.queue)
    return { job, duplicate, queue, ...factsOf(await explainJob(tx, names, id), job.name, queue?.tags ?? []) }
  })
  return explanation(facts)
}

function factsOf(row: ExplainRow | undefined, name: string, tags: readonly string[]) {
  const workers = row?.workers ?? []
  const here = workers.filter((worker) => placed(tags, worker.tags))
  return {
    workers: {
      all: workers.length,
      placed: here.length,
      handling: here.filter((worker) => worker.handlers.includes(name)).length,
    },
    running: row?.running ?? 0,
    rate: { until: row?.rate_until ?? undefined },
    keyRunning: row?.key_running ?? [],
    keyRate: { until: row?.key_until ?? undefined },
    keyFirst: row?.key_first ?? undefined,
    stoppedBy: row?.stopped_by ?? undefined,
    ahead: row?.ahead ?? 0,
    now: row?.now ?? new Date(0),
  }
}

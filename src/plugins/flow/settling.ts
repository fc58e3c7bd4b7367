import type { AppContext, Ended, Plugin } from "../../model/plugin.ts"
import type { RunningJob } from "../../model/running-job.ts"
import type { AnyDefinition } from "../../model/pushable.ts"
import type { Connection, Transaction } from "../../model/database.ts"
import type { PluginNames } from "../../model/plugin.ts"
import { isFinal } from "../../model/state.ts"
import { plainArray } from "../../postgres/sql.ts"
import { isChildId } from "./calls.ts"
import { isFlow } from "./define.ts"

/*
 * What is written in the transaction that settles a flow, or a job that a flow pushed: the flow's own state, a last look
 * before it is parked, and what became of the job, in the inbox of the flow. Flows are woken after the commit, since a lock
 * on them here could wait for somebody who waits for us. See docs/design/flows.md.
 */

const endsChild = ({ job, state }: Ended): boolean => isFinal(state) && isChildId(job.id)

const endsRun = ({ job, state }: Ended): boolean =>
  (isFinal(state) || state === "scheduled") && isFlow((job as { readonly definition?: AnyDefinition }).definition)

interface Aftermath {
  /** Runs to be woken. */
  readonly parents: readonly string[]
  /** Something had come while it was being parked. */
  readonly ready: boolean
}

/** @param app known once the plugin is attached. */
export function settling(app: () => AppContext): Required<Pick<Plugin, "saving" | "saved">> {
  const aftermaths = new WeakMap<RunningJob, Aftermath>()
  return {
    saving: {
      select: (ended) => endsChild(ended) || endsRun(ended),
      async run(batch, tx) {
        const { names } = app()
        const ready = await settleRuns(tx, names, batch.filter(endsRun))
        const children = batch.filter(endsChild)
        const parents = await childrenEnded(tx, names, ids(children))
        for (const { job } of batch) aftermaths.set(job, { parents: [], ready: ready.has(job.id) })
        if (children[0]) aftermaths.set(children[0].job, { parents, ready: ready.has(children[0].job.id) })
      },
    },
    saved(batch) {
      const done = batch.flatMap(({ job }) => {
        const aftermath = aftermaths.get(job)
        return aftermath ? [{ job, aftermath }] : []
      })
      for (const { job, aftermath } of done) if (aftermath.ready) app().wakeQueue(job.queue)
      const parents = done.flatMap(({ aftermath }) => aftermath.parents)
      if (parents.length > 0) void wake(app(), parents)
    },
  }
}

async function settleRuns(tx: Transaction, names: PluginNames, runs: readonly Ended[]): Promise<Set<string>> {
  if (runs.length === 0) return new Set()
  const { rows } = await tx.query<{ id: string }>(
    `select id from ${names.of("flow_settled_1")}($1::uuid[], $2::text[]) as id`,
    [ids(runs), plainArray(runs.map(({ state }) => state))],
  )
  return new Set(rows.map(({ id }) => id))
}

/** @returns the runs that pushed them and were not told yet. */
export async function childrenEnded(db: Connection, names: PluginNames, children: string): Promise<string[]> {
  if (children === "{}") return []
  const { rows } = await db.query<{ id: string }>(
    `select id from ${names.of("flow_child_ended_1")}($1::uuid[]) as id`,
    [children],
  )
  return rows.map(({ id }) => id)
}

/** Makes parked runs ready for which something has come, and tells executions under way. What fails here, the sweep does. */
export async function wake({ db, names, hub, log, wakeQueue }: AppContext, runs: readonly string[]): Promise<void> {
  try {
    const { rows } = await db.query<{ id: string; queue: string; state: string }>(
      `select id, queue, state from ${names.of("flow_wake_1")}($1::uuid[])`,
      [plainArray(runs)],
    )
    for (const queue of new Set(rows.filter(({ state }) => state === "woken").map((row) => row.queue))) wakeQueue(queue)
    for (const { id, state } of rows) if (state === "running") hub.emit("flow.news", { id }, { cluster: true })
  } catch (error) {
    log.warn("flows could not be woken yet", { flows: runs.length, error: String(error) })
  }
}

const ids = (batch: readonly Ended[]): string => plainArray(batch.map(({ job }) => job.id))

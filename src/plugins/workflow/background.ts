import type { PluginContext } from "../../model/plugin.ts"
import { deleteWorkflows, fire, stopJobs, sweep, type ListFilter } from "./store.ts"

/*
 * What no end of a job brings about: timers, and the safety nets. Every worker fires timers, each sleeping until the next one
 * it knows of; the leader looks after the rest.
 */

const atOnce = 200
const lowest = "00000000-0000-0000-0000-000000000000"

export async function watch(ctx: PluginContext, signal: AbortSignal, every: number): Promise<void> {
  let next = Infinity
  let cursor = lowest
  const removers = [
    ctx.hub.on("workflow.timer", ({ body }) => {
      if (performance.now() + body.inMs < next) ctx.wakeUp()
    }),
    ctx.hub.on("workflow.failing", () => ctx.wakeUp()),
  ]
  try {
    for (let swept = -Infinity; !signal.aborted;) {
      const inMs = await fireAll(ctx, signal)
      await stopJobs(ctx.db, ctx.names, null)
      if (performance.now() - swept >= every && mayLook(ctx)) {
        swept = performance.now()
        cursor = await look(ctx, cursor)
      }
      next = performance.now() + inMs
      if (!(await ctx.sleep(Math.max(1, Math.min(inMs, every))))) return
    }
  } finally {
    for (const remove of removers) remove()
  }
}

/** The leader, where there is one. */
const mayLook = ({ leader, plugins }: PluginContext): boolean =>
  leader.leads || !plugins.some((plugin) => plugin.name === "leadership")

async function fireAll({ db, names }: PluginContext, signal: AbortSignal): Promise<number> {
  for (;;) {
    const { fired, next_ms: next } = await fire(db, names, atOnce)
    if (fired < atOnce || signal.aborted) return next === null ? Infinity : Math.max(0, next)
  }
}

/** Goes round all unfinished workflows, some at a time. */
async function look({ db, names, log }: PluginContext, after: string): Promise<string> {
  const { looked, last, ended } = await sweep(db, names, after, atOnce)
  if (ended > 0)
    log.warn("jobs of workflows were deleted before they finished; their steps were cancelled", { steps: ended })
  return looked < atOnce || last === null ? lowest : last
}

/** Finished workflows whose time is over, and those that the rules mean. */
export async function cleanUp({ db, names }: PluginContext, rules: readonly ListFilter[]): Promise<number> {
  let removed = 0
  for (const rule of [undefined, ...rules]) {
    for (let some = 1_000; some === 1_000; removed += some) some = await deleteWorkflows(db, names, rule, 1_000)
  }
  return removed
}

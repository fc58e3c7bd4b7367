import { describe } from "../lib/error.ts"
import type { Transaction } from "../model/database.ts"
import type { Logger } from "../model/log.ts"
import type { Report } from "../model/outcome.ts"
import type { Claim, Ended, Plugin } from "../model/plugin.ts"
import type { RunningJob } from "../model/running-job.ts"
import type { Running } from "./running.ts"

/** The hooks of all plugins, joined; undefined where no plugin has one, so that the fast path stays fast. */
export interface Hooks {
  readonly around: ((job: RunningJob, run: () => Promise<Report>) => Promise<Report>) | undefined
  readonly starting: ((job: Running) => void) | undefined
  readonly finished: ((job: RunningJob, report: Report) => Report) | undefined
  readonly selects: ((ended: Ended) => boolean) | undefined
  saving(batch: readonly Ended[], tx: Transaction): Promise<void>
  readonly saved: ((batch: readonly Ended[]) => void) | undefined
  readonly claimed: ((claim: Claim) => void) | undefined
}

export function joinHooks(plugins: readonly Plugin[], log: Logger, worker: string): Hooks {
  const report = (plugin: Plugin, hook: string, error: unknown) =>
    log.error(`plugin "${plugin.name}": ${hook} threw and was skipped`, {
      error: describe(error),
    })
  const having = <Name extends keyof Plugin>(name: Name) => plugins.filter((plugin) => plugin[name] !== undefined)
  const around = having("around")
  const starting = having("starting")
  const finished = having("finished")
  const saving = having("saving")
  const saved = having("saved")
  const claimed = having("claimed")
  const tell = (hook: "saved" | "claimed", call: (plugin: Plugin) => void) => (plugin: Plugin) => {
    try {
      call(plugin)
    } catch (error) {
      report(plugin, hook, error)
    }
  }
  const selected = (plugin: Plugin, ended: Ended): boolean => {
    try {
      return plugin.saving!.select(ended)
    } catch (error) {
      report(plugin, "saving.select", error)
      return false
    }
  }
  return {
    around: around.length === 0 ? undefined : (job, run) => wrap(around, report, job, run),
    starting: starting.length === 0 ? undefined : (job) => starting.forEach((plugin) => replace(plugin, report, job)),
    finished:
      finished.length === 0
        ? undefined
        : (job, first) => finished.reduce((last, plugin) => amend(plugin, report, job, last), first),
    selects: saving.length === 0 ? undefined : (ended) => saving.some((plugin) => selected(plugin, ended)),
    async saving(batch, tx) {
      for (const plugin of saving) {
        const chosen = batch.filter((ended) => selected(plugin, ended))
        if (chosen.length > 0) await plugin.saving!.run(chosen, tx)
      }
    },
    saved:
      saved.length === 0
        ? undefined
        : (batch) => saved.forEach(tell("saved", (plugin) => plugin.saved!(batch, worker))),
    claimed:
      claimed.length === 0
        ? undefined
        : (claim) => claimed.forEach(tell("claimed", (plugin) => plugin.claimed!(claim))),
  }
}

type ReportHook = (plugin: Plugin, hook: string, error: unknown) => void

/** First plugin outermost. A wrapper that throws before it called `next` is skipped; the job runs all the same, once. */
async function wrap(
  plugins: readonly Plugin[],
  report: ReportHook,
  job: RunningJob,
  run: () => Promise<Report>,
): Promise<Report> {
  const step = (index: number): Promise<Report> => {
    const plugin = plugins[index]
    if (!plugin) return run()
    let inner: Promise<Report> | undefined
    const next = () => (inner ??= step(index + 1))
    return Promise.resolve()
      .then(() => plugin.around!(job, next))
      .then(async (outer) => (isReport(outer) ? outer : next()))
      .catch((error: unknown) => {
        report(plugin, "around", error)
        return next()
      })
  }
  return step(0)
}

/** Lets a plugin see the job before it starts, and give it another payload. */
function replace(plugin: Plugin, report: ReportHook, job: Running): void {
  try {
    const instead = plugin.starting!(job)
    if (instead) job.replacePayload(instead.payload)
  } catch (error) {
    report(plugin, "starting", error)
  }
}

const isReport = (value: unknown): value is Report => typeof value === "object" && value !== null && "ok" in value

function amend(plugin: Plugin, report: ReportHook, job: RunningJob, last: Report): Report {
  try {
    return plugin.finished!(job, last) ?? last
  } catch (error) {
    report(plugin, "finished", error)
    return last
  }
}

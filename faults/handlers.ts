// What the jobs of the harness do: as their script says, noting each step.
import { setTimeout as sleep } from "node:timers/promises"
import { snooze, type Handler, type RunningJob } from "millrace"
import { jobs, task, type JobName } from "./jobs.ts"
import type { Recorder, Script } from "./record.ts"
import { timing } from "./timing.ts"

type Work = (script: Script, job: RunningJob, recorder: Recorder) => Promise<unknown>

const codeOf = (error: unknown): string => String((error as { code?: unknown })?.code ?? error)

/** Waits; one that obeys throws as soon as its signal fires. */
async function pass({ ms, obey }: Script, { signal }: RunningJob): Promise<void> {
  await sleep(ms, undefined, obey ? { signal } : {})
}

function failAsTold({ fails }: Script, { attempt, claims }: RunningJob): void {
  if (attempt <= fails) throw new Error(`as its script says, claim ${claims}`)
}

/** Counted in meta, which is saved with each end of an attempt, and with nothing else. */
function snoozes({ snoozes: wanted }: Script, { meta }: RunningJob): boolean {
  const so = Number(meta.snoozed ?? 0)
  if (so >= wanted) return false
  meta.snoozed = so + 1
  return true
}

const plain: Work = async (script, job) => {
  await pass(script, job)
  if (snoozes(script, job)) return snooze(20 + script.ms)
  failAsTold(script, job)
  return { claims: job.claims }
}

const works: Readonly<Record<JobName, Work>> = {
  task: plain,
  kept: plain,
  line: plain,
  single: plain,
  async effect(script, job, recorder) {
    const { id, claims } = job
    await pass(script, job)
    failAsTold(script, job)
    try {
      const result = await job.transaction(async (tx) => {
        await tx.query("insert into faults.effects (job, claims) values ($1, $2)", [id, claims])
        return { claims }
      })
      recorder.note({ t: "commit", id, claims })
      return result
    } catch (error) {
      recorder.note({ t: "refused", id, claims, code: codeOf(error) })
      throw error
    }
  },
  async parent(script, job, recorder) {
    const { id, claims } = job
    const child: Script = { mark: `${script.mark}/${claims}`, ms: 5, fails: 0, snoozes: 0, obey: true }
    await pass(script, job)
    const note = { mark: child.mark, job: "task", script: child, maxAttempts: 6, parent: { job: id, claims } }
    recorder.note({ t: "push", ...note })
    await job.push(task, child)
    failAsTold(script, job)
    return { claims }
  },
  async over(script, job) {
    if (job.attempt <= script.fails) await sleep(60_000, undefined, { signal: job.signal })
    return { claims: job.claims }
  },
  async block(_, { claims }) {
    const end = performance.now() + 3 * timing.lease
    if (claims === 1) while (performance.now() < end);
    return { claims }
  },
  async die(_, { id, claims }, recorder) {
    recorder.note({ t: "die", id, claims })
    process.kill(process.pid, "SIGKILL")
  },
}

/** Notes the run from its start to its end. */
function noted(work: Work, recorder: Recorder) {
  return async (script: Script, job: RunningJob): Promise<unknown> => {
    const { id, claims, attempt, crashes, signal } = job
    recorder.note({ t: "start", id, claims, attempt, crashes })
    signal.addEventListener("abort", () => recorder.note({ t: "abort", id, claims, code: codeOf(signal.reason) }))
    const before = job.meta.snoozed
    try {
      const result = await work(script, job, recorder)
      recorder.note({ t: "end", id, claims, how: job.meta.snoozed === before ? "return" : "snooze" })
      return result
    } catch (error) {
      recorder.note({ t: "end", id, claims, how: "throw" })
      throw error
    }
  }
}

export const handlersOf = (recorder: Recorder): Handler[] =>
  (Object.keys(jobs) as JobName[]).map((name) => jobs[name].handler(noted(works[name], recorder)))

import { Signal } from "../lib/signal.ts"
import type { LogLine } from "../model/job-log.ts"
import type { JobRecord } from "../model/job.ts"
import { isFinal, type JobState } from "../model/state.ts"
import { findJobs } from "../postgres/jobs.ts"
import { readLogs } from "../postgres/logs.ts"
import { verdict } from "../postgres/sqlstate.ts"
import type { Context } from "./context.ts"
import { linesOf } from "./log-lines.ts"
import { recordOf } from "./record.ts"

/*
 * Following a job: what is new is read at each notice of it and, as a safety net, each second. The worker that holds the
 * job sends notices only of jobs that somebody follows, so followers say so every few seconds.
 */

/** Something new about a job that is followed. */
export type JobEvent =
  /** A line of its log. */
  | ({ readonly type: "log" } & LogLine)
  /** The newest progress; values in between may have been passed over. */
  | { readonly type: "progress"; readonly progress: unknown }
  /** It has another state. The first event is the present one; a final one is the last event. */
  | { readonly type: "state"; readonly state: JobState; readonly job: JobRecord }

const safetyNet = 1_000
const sayAgain = 5_000
const linesAtOnce = 1_000

/** @throws what `gone` makes, when there is no such job (any more). */
export async function* follow(
  context: Context,
  id: string,
  after: number,
  signal: AbortSignal | undefined,
  gone: () => Error,
): AsyncGenerator<JobEvent, void, undefined> {
  const { notices } = context
  const news = new Signal()
  const unsubscribe = notices.subscribe({
    notice: ({ kind, about }) => void (about === id && (kind === "news" || kind === "done") && news.notify()),
    resync: () => news.notify(),
  })
  const seen: Seen = { after, state: undefined, progress: undefined }
  let said = -Infinity
  try {
    for (;;) {
      if (signal?.aborted) return
      if (performance.now() - said >= sayAgain) {
        notices.send({ kind: "follow", about: id })
        said = performance.now()
      }
      const events = await look(context, id, seen, gone)
      for (const event of events ?? []) {
        if (signal?.aborted) return
        yield event
      }
      if (seen.state && isFinal(seen.state)) return
      // A full read may have left lines behind.
      if ((events?.length ?? 0) < linesAtOnce) await news.wait(safetyNet, signal)
    }
  } finally {
    unsubscribe()
  }
}

interface Seen {
  /** Number of the last line. */
  after: number
  state: JobState | undefined
  /** JSON text. */
  progress: string | undefined
}

/** What is new, in order. Undefined: the database could not be asked now. */
async function look(context: Context, id: string, seen: Seen, gone: () => Error): Promise<JobEvent[] | undefined> {
  try {
    // First the job: what it wrote is stored before it ends, so once its end is seen no line is missing.
    const [row] = await findJobs(context.db, context.names, [id])
    if (!row) throw gone()
    const job = recordOf(row)
    const events = await newLines(context, id, seen)
    if (events.length >= linesAtOnce) return events // the rest first
    if (job.progress !== undefined && JSON.stringify(job.progress) !== seen.progress) {
      seen.progress = JSON.stringify(job.progress)
      events.push({ type: "progress", progress: job.progress })
    }
    if (job.state === seen.state) return events
    const state: JobEvent = { type: "state", state: job.state, job }
    const first = seen.state === undefined && !isFinal(job.state)
    seen.state = job.state
    return first ? [state, ...events] : [...events, state]
  } catch (error) {
    if (verdict(error) !== "retry") throw error
    return undefined
  }
}

async function newLines({ db, names }: Context, id: string, seen: Seen): Promise<JobEvent[]> {
  const chunks = await readLogs(db, names, id, seen.after, linesAtOnce)
  const lines = linesOf(chunks ?? [], seen.after, linesAtOnce)
  seen.after = lines.at(-1)?.n ?? seen.after
  return lines.map((line) => ({ type: "log", ...line }))
}

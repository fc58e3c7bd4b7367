import type { JobRecord } from "./job.ts"
import type { QueueRecord } from "./queue.ts"

/** Why a job does not run now: one of several reasons that all hold at this moment. */
export interface Reason {
  readonly code:
    | "finished"
    | "running"
    | "duplicate"
    | "scheduled"
    | "backoff"
    | "blocked"
    | "no-handler"
    | "undeclared-queue"
    | "paused"
    | "no-worker"
    | "global-concurrency"
    | "rate-limit"
    | "key-concurrency"
    | "key-rate-limit"
    | "key-order"
    | "key-stopped"
    | "turn"
  /** In words. */
  readonly text: string
  /** When it ends, where that is known. By the database's clock. */
  readonly until?: Date | undefined
  /** Ids of the jobs that it waits for, at most 20. */
  readonly jobs?: readonly string[] | undefined
}

/** What `app.explain` returns. */
export interface Explanation {
  readonly id: string
  readonly state: JobRecord["state"]
  /** The first reason in words. */
  readonly text: string
  /** What holds it back most comes first. */
  readonly reasons: readonly Reason[]
}

export interface RateFacts {
  /** When it allows another one; undefined: now. */
  readonly until: Date | undefined
}

/** What was read, at one moment. */
export interface Facts {
  readonly job: JobRecord
  readonly duplicate: boolean
  readonly queue: QueueRecord | undefined
  /** Live workers: how many there are, run the queue, and have a handler for the job as well. */
  readonly workers: { readonly all: number; readonly placed: number; readonly handling: number }
  /** Jobs of the queue that run, over all workers. */
  readonly running: number
  readonly rate: RateFacts
  /** Jobs of its key that run. */
  readonly keyRunning: readonly string[]
  readonly keyRate: RateFacts
  /** A job of its ordered key that comes first: it waits for its next attempt, or was pushed earlier. */
  readonly keyFirst: string | undefined
  readonly stoppedBy: string | undefined
  /** Ready jobs that come before it, counted to 1,000. */
  readonly ahead: number
  /** The database's clock. */
  readonly now: Date
}

/** Every reason that holds, the most important first. Never empty. */
export function explanation(facts: Facts): Explanation {
  const { job } = facts
  const reasons = [...(job.finishedAt ? finished(facts) : job.state === "running" ? running(facts) : waiting(facts))]
  return { id: job.id, state: job.state, text: reasons[0]!.text, reasons }
}

function* finished({ job, duplicate }: Facts): Generator<Reason> {
  yield {
    code: "finished",
    text: `It has ${ended[job.state as keyof typeof ended] ?? "finished"}, and does not run again by itself.`,
  }
  if (duplicate) yield duplicateOf(job)
}

const ended = { succeeded: "succeeded", failed: "failed for good", cancelled: "been cancelled" }

function* running({ job, duplicate }: Facts): Generator<Reason> {
  yield { code: "running", text: `It runs now, on the worker "${job.worker ?? "?"}".` }
  if (duplicate) yield duplicateOf(job)
}

const duplicateOf = (job: JobRecord): Reason => ({
  code: "duplicate",
  text: `The push found its unique key ${JSON.stringify(job.uniqueKey ?? "")} taken: this is the job that holds it.`,
  jobs: [job.id],
})

function* waiting(facts: Facts): Generator<Reason> {
  yield* itself(facts)
  yield* place(facts)
  if (facts.queue) yield* limits(facts, facts.queue)
  yield turn(facts)
  if (facts.duplicate) yield duplicateOf(facts.job)
}

function* itself({ job, now }: Facts): Generator<Reason> {
  const due = job.runAt > now
  if (job.state === "retrying" && due) {
    const why = job.errors.at(-1)
    yield {
      code: "backoff",
      text: `Attempt ${job.attempts} of ${job.maxAttempts} failed${why ? ` (${why.message.slice(0, 200)})` : ""}; the next one is due ${at(job.runAt)}.`,
      until: job.runAt,
    }
  } else if (due) yield { code: "scheduled", text: `It is due ${at(job.runAt)}.`, until: job.runAt }
  if (job.state !== "blocked") return
  if (job.blockedBy === "handler")
    yield {
      code: "no-handler",
      text: `No worker has a handler for "${job.name}". It goes on when one starts that has.`,
    }
  else yield { code: "blocked", text: `It waits for ${job.blockedBy ?? "something else"}.` }
}

function* place({ job, queue, workers, now }: Facts): Generator<Reason> {
  if (!queue) {
    yield {
      code: "undeclared-queue",
      text: `Its queue "${job.queue}" was never declared, so nobody runs it: app.declareQueue("${job.queue}").`,
    }
    return
  }
  if (queue.paused) {
    const until = queue.resumeAt && queue.resumeAt > now ? queue.resumeAt : undefined
    const why = queue.pauseReason ? ` (${queue.pauseReason})` : ""
    yield {
      code: "paused",
      text: `Its queue "${queue.name}" is paused${why}${until ? ` until ${at(until)}` : ""}.`,
      until,
    }
  }
  if (workers.all === 0) yield { code: "no-worker", text: "No worker is running." }
  else if (workers.placed === 0)
    yield {
      code: "no-worker",
      text: `None of the ${workers.all} workers has a tag that its queue "${queue.name}" asks for (${queue.tags.join(", ") || "none"}).`,
    }
  else if (
    workers.handling === 0 &&
    job.blockedBy !== "handler" &&
    (queue.executor === "async" || queue.executor === "thread" || queue.executor === "process")
  )
    yield {
      code: "no-handler",
      text: `None of the ${workers.placed} workers of its queue has a handler for "${job.name}".`,
    }
}

function* limits(facts: Facts, queue: QueueRecord): Generator<Reason> {
  const { job, running, keyRunning } = facts
  const key = JSON.stringify(job.limitKey)
  if (facts.stoppedBy !== undefined && facts.stoppedBy !== job.id)
    yield {
      code: "key-stopped",
      text: `Its key ${key} stands still since job ${facts.stoppedBy} failed for good: retry that one, or app.resumeKey("${queue.name}", ${key}).`,
      jobs: [facts.stoppedBy],
    }
  if (queue.globalConcurrency !== undefined && running >= queue.globalConcurrency)
    yield {
      code: "global-concurrency",
      text: `${running} of ${queue.globalConcurrency} jobs of its queue run; it frees when one of them ends.`,
    }
  if (facts.rate.until)
    yield {
      code: "rate-limit",
      text: `The rate limit of its queue is used up until ${at(facts.rate.until)}.`,
      until: facts.rate.until,
    }
  const most = queue.ordered ? 1 : queue.keyConcurrency
  if (job.limitKey !== undefined && most !== undefined && keyRunning.length >= most)
    yield {
      code: "key-concurrency",
      text: `${keyRunning.length} of ${most} jobs of its key ${key} run; it frees when one of them ends.`,
      jobs: keyRunning,
    }
  if (facts.keyRate.until)
    yield {
      code: "key-rate-limit",
      text: `The rate limit of its key ${key} is used up until ${at(facts.keyRate.until)}.`,
      until: facts.keyRate.until,
    }
  if (facts.keyFirst !== undefined && queue.ordered)
    yield { code: "key-order", text: `Job ${facts.keyFirst} of its key ${key} comes first.`, jobs: [facts.keyFirst] }
}

const turn = ({ ahead }: Facts): Reason => ({
  code: "turn",
  text:
    ahead === 0
      ? "Nothing is before it: it starts with the next free slot of a worker."
      : `${ahead >= 1_000 ? "1,000 or more" : ahead} ready job${ahead === 1 ? " is" : "s are"} before it.`,
})

const at = (date: Date): string => date.toISOString()

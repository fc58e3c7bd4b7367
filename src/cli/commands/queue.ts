import type { QueueOptions, QueueRecord } from "../../index.ts"
import { UsageError, type Call, type Command } from "../command.ts"
import { confirmed, yesOption } from "../confirm.ts"
import { relative } from "../format.ts"
import { paint } from "../output.ts"

export const queueCommands: readonly Command[] = [
  {
    name: "queue list",
    summary: "Lists the queues with their numbers of jobs",
    examples: ["millrace queue list", "millrace queue list --json"],
    run: list,
  },
  {
    name: "queue declare",
    summary: "Declares a queue; with --upsert changes one that exists",
    args: "NAME",
    least: 1,
    options: {
      concurrency: { type: "string", value: "N", doc: "Jobs that one worker runs at a time." },
      executor: { type: "string", value: "NAME", doc: "Where handlers run." },
      tag: { type: "string", multiple: true, value: "GLOB", doc: "Workers whose tags match run it. Default: all." },
      "poll-interval": { type: "string", value: "DURATION", doc: "How long an idle worker waits before it looks." },
      "global-concurrency": { type: "string", value: "N", doc: "Jobs that run at a time, over all workers." },
      "rate-limit": {
        type: "string",
        value: "N/WINDOW",
        doc: "Jobs that may start in a time, such as 100/1m; with a burst 100/1m/200.",
      },
      "key-concurrency": {
        type: "string",
        value: "N",
        doc: "Jobs of one limit key that run at a time, over all workers.",
      },
      "key-rate-limit": { type: "string", value: "N/WINDOW", doc: "Jobs of one limit key that may start in a time." },
      ordered: { type: "string", value: "POLICY", doc: "One job of a key at a time, in order: retry, skip or stop." },
      fair: { type: "boolean", doc: "Keys take turns." },
      "no-limits": { type: "boolean", doc: "Take all limits away that are not given here." },
      upsert: { type: "boolean", doc: "Overwrite the options of a queue that exists." },
    },
    examples: [
      "millrace queue declare media --concurrency 20 --tag has=gpu",
      "millrace queue declare media --concurrency 40 --upsert",
    ],
    run: declare,
  },
  {
    name: "queue pause",
    summary: "Pauses a queue: no job starts from now on",
    args: "NAME",
    least: 1,
    options: { until: { type: "string", value: "TIME", doc: 'Resumes by itself then: ISO text, or "in 15m".' } },
    examples: ["millrace queue pause media", 'millrace queue pause media --until "in 15m"'],
    run: pause,
  },
  {
    name: "queue resume",
    summary: "Resumes a paused queue",
    args: "NAME",
    least: 1,
    examples: ["millrace queue resume media"],
    async run(call) {
      await (await call.app()).resumeQueue(call.args[0]!)
      return done(call, `${call.args[0]} runs again`)
    },
  },
  {
    name: "queue delete",
    summary: "Deletes a queue; its waiting jobs stay, or go with --jobs",
    args: "NAME",
    least: 1,
    options: { jobs: { type: "boolean", doc: "Delete its jobs as well, but for those that run." }, ...yesOption },
    examples: ["millrace queue delete media", "millrace queue delete media --jobs --yes"],
    run: remove,
  },
]

async function list(call: Call): Promise<number> {
  const app = await call.app()
  const [queues, stats] = [await app.queues(), await app.stats()]
  const rows = queues.map((queue) => ({ ...queue, jobs: stats.queues[queue.name] ?? {} }))
  const count = (state: "pending" | "running" | "scheduled" | "retrying" | "blocked") => ({
    title: state,
    right: true,
    cell: ({ jobs }: (typeof rows)[number]) => {
      const found = jobs[state]
      return found ? `${found.exact ? "" : "~"}${found.count.toLocaleString("en")}` : ""
    },
  })
  call.out.table(
    rows,
    [
      { title: "name", cell: (queue) => queue.name, flexible: true },
      { title: "status", cell: statusOf },
      { title: "concurrency", cell: (queue) => String(queue.concurrency ?? "default"), right: true },
      { title: "executor", cell: (queue) => queue.executor },
      { title: "tags", cell: (queue) => queue.tags.join(", ") || "nobody", flexible: true },
      ...(["pending", "running", "scheduled", "retrying", "blocked"] as const).map(count),
    ],
    "no queues",
  )
  const undeclared = Object.keys(stats.queues).filter((name) => !queues.some((queue) => queue.name === name))
  for (const name of undeclared)
    call.out.problem(`queue ${name} has jobs but was never declared: millrace queue declare ${name}`)
  return 0
}

const statusOf = (queue: QueueRecord): string => {
  if (!queue.paused) return paint("green", "open")
  return paint("yellow", queue.resumeAt ? `paused, resumes ${relative(queue.resumeAt)}` : "paused")
}

async function declare(call: Call): Promise<number> {
  const concurrency = call.text("concurrency")
  if (concurrency !== undefined && !/^\d+$/.test(concurrency))
    throw new UsageError(`--concurrency is a number, not ${concurrency}`)
  const [executor, pollInterval] = [call.text("executor"), call.text("poll-interval")]
  const app = await call.app()
  const name = call.args[0]!
  const before = (await app.queues()).find((queue) => queue.name === name)
  const options: QueueOptions = {
    ...(before && optionsOf(before)), // what is not said stays
    name,
    ...(concurrency === undefined ? {} : { concurrency: Number(concurrency) }),
    ...(executor === undefined ? {} : { executor }),
    ...(pollInterval === undefined ? {} : { pollInterval }),
    ...limitsFrom(call, before),
    ...(call.texts("tag").length > 0 ? { tags: call.texts("tag") } : {}),
  }
  const stored = await app.declareQueue(options, { upsert: call.flag("upsert") })
  call.out.document(stored)
  if (before && !call.flag("upsert"))
    call.out.line(`${stored.name} exists and stays as it is; --upsert overwrites its options`)
  else call.out.line(`${stored.name} ${before ? "changed" : "declared"}`)
  return 0
}

/** The limits given; of those that are not, what the queue has stays, unless `--no-limits`. */
function limitsFrom(call: Call, before: QueueRecord | undefined): Partial<QueueOptions> {
  const kept = before && !call.flag("no-limits") ? limitsOf(before) : {}
  const number = (name: string) => {
    const given = call.text(name)
    if (given !== undefined && !/^\d+$/.test(given)) throw new UsageError(`--${name} is a number, not ${given}`)
    return given === undefined ? undefined : Number(given)
  }
  const given = {
    globalConcurrency: number("global-concurrency"),
    rateLimit: rate(call, "rate-limit"),
    keyConcurrency: number("key-concurrency"),
    keyRateLimit: rate(call, "key-rate-limit"),
    ordered: call.text("ordered") as QueueOptions["ordered"],
    fair: call.flag("fair") || undefined,
  }
  return { ...kept, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) }
}

const limitsOf = ({
  globalConcurrency,
  rateLimit,
  keyConcurrency,
  keyRateLimit,
  fair,
  ordered,
  circuitBreaker,
}: QueueRecord) =>
  Object.fromEntries(
    Object.entries({
      globalConcurrency,
      rateLimit,
      keyConcurrency,
      keyRateLimit,
      fair,
      ordered,
      circuitBreaker,
    }).filter(([, value]) => value !== undefined),
  ) as Partial<QueueOptions>

function rate(call: Call, name: string): QueueOptions["rateLimit"] {
  const given = call.text(name)
  if (given === undefined) return undefined
  const [limit, per, burst] = given.split("/")
  if (per === undefined) throw new UsageError(`--${name} is a number and a window, such as 100/1m, not ${given}`)
  return { limit: Number(limit), per, ...(burst === undefined ? {} : { burst: Number(burst) }) }
}

function optionsOf({
  concurrency,
  executor,
  executorOptions,
  tags,
  claimAhead,
  pollInterval,
  name,
  timeout,
  memoryLimit,
}: QueueRecord): QueueOptions {
  const optional = {
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(claimAhead === undefined ? {} : { claimAhead }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(memoryLimit === undefined ? {} : { memoryLimit }),
  }
  return { name, executor, executorOptions, tags, pollInterval, ...optional }
}

async function pause(call: Call): Promise<number> {
  const [name, until] = [call.args[0]!, call.text("until")]
  const moment = until === undefined || until.startsWith("in ") ? until : new Date(until)
  await (await call.app()).pauseQueue(name, moment === undefined ? {} : { until: moment })
  return done(call, `${name} is paused${until === undefined ? "" : ` until ${until}`}`)
}

async function remove(call: Call): Promise<number> {
  const [name, jobs] = [call.args[0]!, call.flag("jobs")]
  const app = await call.app()
  const question = jobs ? `Delete queue ${name} and every job that waits in it?` : `Delete queue ${name}?`
  if (!(await confirmed(question, call.flag("yes")))) return 1
  const deleted = await app.deleteQueue(name, { jobs })
  call.out.document({ name, deleted })
  call.out.line(`${name} is deleted${jobs ? `, with ${deleted} jobs` : ""}`)
  return 0
}

function done(call: Call, text: string): number {
  call.out.document({ name: call.args[0] })
  call.out.line(text)
  return 0
}

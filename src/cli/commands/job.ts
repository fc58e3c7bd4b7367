import { isMillraceError, type JobRecord, type Millrace, type Pushable, type PushByNameOptions } from "../../index.ts"
import { loadApp } from "../app-module.ts"
import { UsageError, type Call, type Command } from "../command.ts"
import { filterOf, filterOptions } from "../filter-options.ts"
import { follow, printLogs } from "../follow.ts"
import { describeJob, jobColumns } from "../format.ts"

export const jobCommands: readonly Command[] = [
  {
    name: "job push",
    summary: "Pushes a job; with --app its payload goes through the definition's schema",
    args: "NAME [JSON]",
    least: 1,
    most: 2,
    options: {
      queue: { type: "string", value: "NAME", doc: "Default: the definition's, else default." },
      priority: { type: "string", value: "N", doc: "Higher runs first." },
      "run-at": { type: "string", value: "TIME", doc: 'When it is due: ISO text, or "in 10m".' },
      key: { type: "string", value: "KEY", doc: "Unique key." },
      tag: { type: "string", multiple: true, value: "TAG", doc: "A tag." },
      "max-attempts": { type: "string", value: "N", doc: "Attempts in all." },
      follow: { type: "boolean", short: "f", doc: "Stay until it has finished." },
    },
    examples: [
      `millrace job push greet '{"name":"Ada"}' --priority 5`,
      `millrace job push greet '{"name":"Ada"}' --follow`,
      "echo '{}' | millrace job push report - --run-at 'in 1h'",
    ],
    run: push,
  },
  {
    name: "job list",
    summary: "Lists jobs, newest first",
    options: {
      ...filterOptions,
      limit: { type: "string", value: "N", doc: "Jobs per page. Default: 20." },
      cursor: { type: "string", value: "CURSOR", doc: "Where an earlier page ended." },
    },
    examples: ["millrace job list --state failed", 'millrace job list --name order --created-after "1h ago" --json'],
    run: list,
  },
  {
    name: "job show",
    summary: "Shows a job with its attempts and errors; with --follow until it has finished",
    args: "ID",
    least: 1,
    options: { follow: { type: "boolean", short: "f", doc: "Stay, and tell what happens, until it has finished." } },
    examples: ["millrace job show 01980f…", "millrace job show 01980f… --follow"],
    run: show,
  },
  {
    name: "job explain",
    summary: "Says why a job does not run now: limits, pauses, workers, what is before it",
    args: "ID",
    least: 1,
    examples: ["millrace job explain 01980f…", "millrace job explain 01980f… --json"],
    run: explain,
  },
  {
    name: "job logs",
    summary: "Prints what a job has logged; with --follow until it has finished",
    args: "ID",
    least: 1,
    options: { follow: { type: "boolean", short: "f", doc: "Stay until it has finished." } },
    examples: ["millrace job logs 01980f…", "millrace job logs 01980f… --follow"],
    run: logs,
  },
]

async function push(call: Call): Promise<number> {
  const [name, given] = call.args as [string, string | undefined]
  const app = await call.app()
  const [payload, options] = [await payloadOf(given), pushOptions(call)]
  const definition = await definitionOf(name, call.text("app"))
  const job = await (definition ? app.push(definition, payload, options) : app.pushByName(name, payload, options))
  call.out.document({ id: job.id, duplicate: job.duplicate })
  call.out.line(job.duplicate ? `${job.id}  (its key is taken: this is the job that holds it)` : job.id)
  return call.flag("follow") ? followed(call, app, job.id) : 0
}

/** The module's own definition, with its schema; else what workers have announced counts. */
async function definitionOf(name: string, module: string | undefined): Promise<Pushable<unknown, unknown> | undefined> {
  const handlers = module === undefined ? [] : ((await loadApp(module)).worker.handlers ?? [])
  const known = Array.isArray(handlers) ? handlers.find((handler) => handler.definition.name === name) : undefined
  return known?.definition
}

async function payloadOf(given: string | undefined): Promise<unknown> {
  const text = given === "-" ? await readStdin() : given
  if (text === undefined || text.trim() === "") return null
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UsageError(`the payload is not JSON (${(error as Error).message}); text goes in double quotes: '"text"'`)
  }
}

async function readStdin(): Promise<string> {
  let text = ""
  for await (const part of process.stdin.setEncoding("utf8")) text += part as string
  return text
}

function pushOptions(call: Call): PushByNameOptions {
  const whole = (name: string) => {
    const given = call.text(name)
    if (given === undefined) return undefined
    if (!/^-?\d+$/.test(given)) throw new UsageError(`--${name} is a whole number, not ${JSON.stringify(given)}`)
    return Number(given)
  }
  const at = call.text("run-at")
  const options = {
    queue: call.text("queue"),
    priority: whole("priority"),
    maxAttempts: whole("max-attempts"),
    uniqueKey: call.text("key"),
    tags: call.texts("tag").length > 0 ? [...call.texts("tag")] : undefined,
    runAt: at === undefined || at.startsWith("in ") ? at : new Date(at),
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

async function list(call: Call): Promise<number> {
  const limit = call.text("limit") ?? "20"
  if (!/^\d+$/.test(limit)) throw new UsageError(`--limit is a number, not ${JSON.stringify(limit)}`)
  const cursor = call.text("cursor")
  const page = await (
    await call.app()
  ).find(filterOf(call, []), { limit: Number(limit), ...(cursor === undefined ? {} : { cursor }) })
  if (call.out.json) call.out.document(page)
  else call.out.table(page.jobs, jobColumns, "no such jobs")
  if (page.cursor !== undefined) call.out.line(`more: --cursor ${page.cursor}`)
  return 0
}

async function explain(call: Call): Promise<number> {
  const explained = await (await call.app()).explain(call.args[0]!)
  call.out.document(explained)
  for (const { text } of explained.reasons) call.out.line(text)
  return 0
}

async function show(call: Call): Promise<number> {
  const app = await call.app()
  const job = await jobOf(app, call.args[0]!)
  if (!job) return unknown(call)
  if (call.flag("follow")) return followed(call, app, job.id)
  call.out.document(job)
  call.out.line(describeJob(job))
  return 0
}

async function logs(call: Call): Promise<number> {
  const app = await call.app()
  const job = await jobOf(app, call.args[0]!)
  if (!job) return unknown(call)
  if (call.flag("follow")) return followed(call, app, job.id)
  await printLogs(call, app.job(job.id))
  return 0
}

/** Follows it to its end; 0 when it succeeded. */
async function followed(call: Call, app: Millrace, id: string): Promise<number> {
  const end = await follow(call, app.job(id))
  call.out.line(`\n${describeJob(end)}`)
  return end.state === "succeeded" ? 0 : 1
}

async function jobOf(app: Millrace, id: string): Promise<JobRecord | undefined> {
  try {
    return await app.job(id).get()
  } catch (error) {
    if (isMillraceError(error, "MILLRACE_BAD_ID")) throw new UsageError((error as Error).message)
    throw error
  }
}

function unknown(call: Call): number {
  call.out.problem(`There is no job ${call.args[0]}: it never was, it was deleted, or its retention is over.`)
  return 1
}

import { cron, type Cron, type Schedule, type Tick } from "../../index.ts"
import { UsageError, type Call, type Command } from "../command.ts"
import { confirmed, yesOption } from "../confirm.ts"
import { relative } from "../format.ts"
import { paint } from "../output.ts"

export const scheduleCommands: readonly Command[] = [
  {
    name: "schedule list",
    summary: "Lists the schedules with their last and next runs",
    examples: ["millrace schedule list", "millrace schedule list --json"],
    run: list,
  },
  {
    name: "schedule ticks",
    summary: "Lists what came of a schedule's runs, newest first",
    args: "KEY",
    least: 1,
    options: { limit: { type: "string", value: "N", doc: "At most so many. Default 50." } },
    examples: ["millrace schedule ticks report --limit 10"],
    run: ticks,
  },
  {
    name: "schedule run",
    summary: "Pushes a schedule's job now, beside its runs",
    args: "KEY",
    least: 1,
    examples: ["millrace schedule run report"],
    async run(call) {
      const job = await (await schedules(call)).runNow(call.args[0]!)
      call.out.document({ job })
      call.out.line(job)
      return 0
    },
  },
  {
    name: "schedule pause",
    summary: "Pauses a schedule until it is resumed",
    args: "KEY",
    least: 1,
    examples: ["millrace schedule pause report"],
    run: async (call) => changed(call, await (await schedules(call)).pause(call.args[0]!), "is paused"),
  },
  {
    name: "schedule resume",
    summary: "Resumes a paused schedule from its next run on",
    args: "KEY",
    least: 1,
    examples: ["millrace schedule resume report"],
    run: async (call) => changed(call, await (await schedules(call)).resume(call.args[0]!), "runs again"),
  },
  {
    name: "schedule remove",
    summary: "Removes schedules with their history",
    args: "KEY…",
    least: 1,
    most: 100,
    options: yesOption,
    examples: ["millrace schedule remove report", "millrace schedule remove report digest --yes"],
    run: remove,
  },
  {
    name: "schedule preview",
    summary: "Shows the next runs of a cron expression or an interval",
    args: "CRON",
    least: 0,
    most: 1,
    options: {
      every: { type: "string", value: "DURATION", doc: "An interval instead of an expression." },
      zone: { type: "string", value: "ZONE", doc: "Time zone of the expression. Default: UTC." },
      count: { type: "string", value: "N", doc: "How many. Default 10." },
      after: { type: "string", value: "TIME", doc: "Runs after this moment. Default: now." },
    },
    examples: [
      "millrace schedule preview '0 9 * * 1-5' --zone Europe/Berlin",
      "millrace schedule preview '30 2 * * *' --zone America/New_York --after 2027-03-12 --count 4",
      "millrace schedule preview --every 90s",
    ],
    run: preview,
  },
]

/** Those of the app, or of an app made only for them. */
async function schedules(call: Call): Promise<Cron> {
  return (await call.app(() => [cron()])).plugin<Cron>("cron")
}

async function list(call: Call): Promise<number> {
  const all = await (await schedules(call)).list()
  call.out.table(
    all,
    [
      { title: "key", cell: (one) => one.key, flexible: true },
      { title: "status", cell: statusOf, flexible: true },
      { title: "runs", cell: (one) => one.description, flexible: true },
      { title: "job", cell: (one) => one.job, flexible: true },
      { title: "last", cell: (one) => relative(one.lastAt), right: true },
      { title: "next", cell: (one) => relative(one.nextAt), right: true },
    ],
    "no schedules",
  )
  return 0
}

function statusOf({ enabled, problem, nextAt }: Schedule): string {
  if (problem !== undefined) return paint("red", problem)
  if (!enabled) return paint("yellow", "paused")
  return nextAt === undefined ? paint("dim", "ended") : paint("green", "on")
}

async function ticks(call: Call): Promise<number> {
  const limit = numberOf(call, "limit")
  const found = await (await schedules(call)).ticks(call.args[0]!, limit === undefined ? {} : { limit })
  call.out.table<Tick>(
    found,
    [
      { title: "due", cell: (tick) => tick.at.toISOString() },
      { title: "fired", cell: (tick) => tick.firedAt.toISOString() },
      { title: "outcome", cell: (tick) => (tick.manual ? "run by hand" : tick.outcome) },
      { title: "job", cell: (tick) => tick.job ?? "" },
      { title: "missed", cell: (tick) => (tick.missed === 0 ? "" : String(tick.missed)), right: true },
      { title: "reason", cell: (tick) => tick.reason ?? "", flexible: true },
    ],
    "no runs yet",
  )
  return 0
}

function changed(call: Call, schedule: Schedule, what: string): number {
  call.out.document(schedule)
  call.out.line(`${schedule.key} ${what}${schedule.nextAt ? `, next ${schedule.nextAt.toISOString()}` : ""}`)
  return 0
}

async function remove(call: Call): Promise<number> {
  const keys = call.args
  if (!(await confirmed(`Remove ${keys.join(", ")} with all history?`, call.flag("yes")))) return 1
  const removed = await (await schedules(call)).unschedule(keys)
  call.out.document({ removed })
  for (const key of keys) call.out.line(removed.includes(key) ? `${key} removed` : `there is no schedule ${key}`)
  return removed.length === keys.length ? 0 : 1
}

async function preview(call: Call): Promise<number> {
  const [expression, every, zone] = [call.args[0], call.text("every"), call.text("zone")]
  if ((expression === undefined) === (every === undefined))
    throw new UsageError("give an expression, as in '0 9 * * 1-5', or --every 90s")
  const [count, after] = [numberOf(call, "count"), call.text("after")]
  const shown = await (
    await schedules(call)
  ).preview({
    ...(expression === undefined ? { every: every! } : { cron: expression }),
    ...(zone === undefined ? {} : { zone }),
    ...(count === undefined ? {} : { count }),
    ...(after === undefined ? {} : { after }),
  })
  call.out.document(shown)
  call.out.line(shown.description)
  for (const { local, at } of shown.runs) call.out.line(`${local}  ${at.toISOString()}`)
  return 0
}

function numberOf(call: Call, option: string): number | undefined {
  const given = call.text(option)
  if (given === undefined || /^\d+$/.test(given)) return given === undefined ? undefined : Number(given)
  throw new UsageError(`--${option} is a number, not ${given}`)
}

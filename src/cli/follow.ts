import type { JobRecord, LogLine, Reference } from "../index.ts"
import type { Call } from "./command.ts"
import { brief } from "./format.ts"
import { paint, paintState } from "./output.ts"

/** Prints the lines of a job's log. */
export async function printLogs(call: Call, job: Reference): Promise<void> {
  let after = 0
  for (;;) {
    const lines = await job.logs({ after, limit: 1_000 })
    for (const line of lines) printLine(call, line)
    if (lines.length < 1_000) return
    after = lines.at(-1)!.n
  }
}

/** Tells what happens to a job until it has finished, and returns it. With --json each event is a line of JSON. */
export async function follow(call: Call, job: Reference): Promise<JobRecord> {
  let end: JobRecord | undefined
  for await (const event of job.follow()) {
    if (event.type === "state") end = event.job
    if (call.out.json) process.stdout.write(`${JSON.stringify(event)}\n`)
    else if (event.type === "log") printLine(call, event)
    else if (event.type === "progress") call.out.line(`${paint("dim", time(new Date()))} ${bar(event.progress)}`)
    else call.out.line(`${paint("dim", time(new Date()))} ${paintState(event.state)}${lastError(event.job)}`)
  }
  return end!
}

function printLine(call: Call, { at, attempt, level, message, fields }: LogLine): void {
  if (call.out.json) {
    process.stdout.write(`${JSON.stringify({ at, attempt, level, message, fields })}\n`)
    return
  }
  const style = level === "error" ? "red" : level === "warn" ? "yellow" : "dim"
  const more = Object.keys(fields).length > 0 ? ` ${paint("dim", brief(fields, 200))}` : ""
  call.out.line(`${paint("dim", time(at))} ${paint(style, level.padEnd(5))} ${printable(message)}${more}`)
}

// A job's data must not move the cursor or worse.
// eslint-disable-next-line no-control-regex
const printable = (text: string): string => text.replaceAll(/[\0-\x08\x0b-\x1f\x7f]/g, "�")

const time = (moment: Date): string => moment.toISOString().slice(11, 23)

const lastError = (job: JobRecord): string => {
  const error = job.errors.at(-1)
  const told = error && (job.state === "retrying" || job.state === "failed")
  return told ? `  ${error.name}: ${printable(error.message)}` : ""
}

/** A bar where the progress is a share from 0 to 1, JSON where it is anything else. */
function bar(progress: unknown): string {
  if (typeof progress !== "number" || !(progress >= 0 && progress <= 1)) return brief(progress, 200)
  const full = Math.round(progress * 20)
  return `${paint("cyan", "█".repeat(full))}${"░".repeat(20 - full)} ${Math.round(progress * 100)} %`
}

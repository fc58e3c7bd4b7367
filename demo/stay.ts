// What happens after the first summary, without --once: the reader tries things, until Ctrl-C.
import { once } from "node:events"
import { readdirSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import readline from "node:readline"
import type { Member } from "./crew.ts"
import { announceFolder, runFolder, type Stage } from "./folder-run.ts"
import { Problem } from "./problem.ts"
import type { Screen } from "./screen.ts"
import { resolveFolder } from "./walk.ts"

interface Addresses {
  /** Of the database. */
  url: string
  dashboard: string
  members: () => Member[]
}

/** Lasts until `stop`, and throws its reason. */
export async function stay(stage: Stage, { url, dashboard, members }: Addresses): Promise<void> {
  const { screen, stop } = stage
  invite(screen, url, dashboard, members())
  for await (const line of screen.live && process.stdin.isTTY ? askedLines(stage) : pipedLines(stop)) {
    if (line.trim() !== "") await runTyped(stage, line.trim())
  }
  stage.interrupt() // Ctrl-D
  stop.throwIfAborted()
}

async function runTyped(stage: Stage, typed: string): Promise<void> {
  const { screen, stop } = stage
  try {
    const folder = await resolveFolder(atHome(typed))
    screen.line()
    const found = await announceFolder(screen, folder, stop)
    await runFolder(stage, folder, found)
    screen.line()
  } catch (error) {
    if (!(error instanceof Problem) || stop.aborted) throw error
    screen.line(`  ${screen.paint.red(error.message)}`)
  }
}

function invite(screen: Screen, url: string, dashboard: string, members: readonly Member[]): void {
  const { bold, dim, cyan } = screen.paint
  const pid = members[0]?.pid ?? "PID"
  const address = withoutPassword(url)
  const lines = [
    "",
    `  ${bold("The server and both workers stay up until Ctrl-C.")} ${dim("Things to try:")}`,
    "",
    `  ${dim("1")}  Type the path of another folder and press Enter.`,
    `  ${dim("2")}  Look at the jobs; they are rows like any others:`,
    `     ${cyan(`psql ${address}`)}`,
    `     ${cyan("select worker, state, count(*) from millrace.all_jobs group by 1, 2;")}`,
    `     ${cyan("select payload->>'file', result from millrace.all_jobs limit 5;")}`,
    `  ${dim("3")}  Kill a worker while a folder runs; nothing is lost: ${cyan(`kill -9 ${pid}`)}`,
    "",
    `  ${bold("The dashboard")} ${dim("shows all of it live, with the orders of a small shop coming in:")}`,
    "",
    `     ${cyan(dashboard)}`,
    "",
  ]
  for (const line of lines) screen.line(line)
}

function withoutPassword(given: string): string {
  const url = new URL(given)
  url.password = ""
  return url.href
}

const atHome = (typed: string): string => (/^~($|[/\\])/.test(typed) ? path.join(os.homedir(), typed.slice(1)) : typed)

/** One prompt at a time, so that the terminal is in its ordinary mode, Ctrl-C included, while a folder runs. */
async function* askedLines(stage: Stage): AsyncGenerator<string> {
  for (;;) {
    const line = await ask(stage)
    if (line === undefined) return
    yield line
  }
}

/** Undefined after Ctrl-D. */
function ask({ screen, stop, interrupt }: Stage): Promise<string | undefined> {
  stop.throwIfAborted()
  const prompt = readline.createInterface({ input: process.stdin, output: process.stdout, completer: completeFolder })
  const answered = new AbortController()
  stop.addEventListener("abort", () => prompt.close(), { signal: answered.signal })
  prompt.setPrompt("  folder> ")
  prompt.prompt()
  screen.prompt = () => prompt.prompt(true)
  return new Promise<string | undefined>((resolve) => {
    prompt.once("line", resolve)
    prompt.once("close", () => resolve(undefined))
    prompt.once("SIGINT", interrupt) // the terminal is in raw mode: no signal is sent
  }).finally(() => {
    answered.abort()
    screen.prompt = undefined
    prompt.close()
    stop.throwIfAborted()
  })
}

function completeFolder(typed: string): [string[], string] {
  const slash = typed.lastIndexOf("/") + 1
  const [above, begun] = [typed.slice(0, slash), typed.slice(slash)]
  try {
    const entries = readdirSync(path.resolve(process.env.INIT_CWD ?? "", atHome(above)), { withFileTypes: true })
    const names = entries.filter((entry) => entry.isDirectory() && entry.name.startsWith(begun))
    return [names.map((entry) => `${above}${entry.name}/`), typed]
  } catch {
    return [[], typed]
  }
}

/** Lines of a file or pipe; its end is not the end of the demo. */
async function* pipedLines(stop: AbortSignal): AsyncGenerator<string> {
  yield* readline.createInterface({ input: process.stdin, signal: stop })
  const forever = setInterval(() => {}, 1 << 30)
  try {
    if (!stop.aborted) await once(stop, "abort")
  } finally {
    clearInterval(forever)
  }
}

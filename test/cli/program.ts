// Runs the compiled program as a user's shell would.
import { spawn, type ChildProcess } from "node:child_process"
import path from "node:path"
import { onTestFinished } from "vitest"

const root = path.dirname(path.dirname(import.meta.dirname))
const main = path.join(root, "dist", "cli", "main.js")

export const appModule = path.join(root, "examples", "app.ts")

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Program {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** Everything on stdout so far. */
  readonly said: () => string
}

/** Starts it; killed when the test ends. */
export function start(args: readonly string[], env: Record<string, string> = {}, input = ""): Program {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, DATABASE_URL: "", ...env } })
  let [stdout, stderr] = ["", ""]
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
  child.stdin.end(input)
  onTestFinished(() => void child.kill("SIGKILL"))
  const ended = new Promise<Ended>((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })))
  return { child, ended, said: () => stdout }
}

/** Runs it to its end. */
export const millrace = (args: readonly string[], env?: Record<string, string>, input?: string): Promise<Ended> =>
  start(args, env, input).ended

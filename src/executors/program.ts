import { spawn, type ChildProcess } from "node:child_process"
import { createInterface } from "node:readline"
import { describe } from "../lib/error.ts"
import { failure } from "../model/errors.ts"

export interface Program {
  readonly program: string
  readonly args: readonly string[]
  readonly cwd: string | undefined
  readonly env: Readonly<Record<string, string>>
  readonly passEnv: readonly string[]
  /** Milliseconds. */
  readonly killAfter: number
  /** Bytes. */
  readonly maxOutput: number
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: string
  /** Of its standard error. */
  readonly lastLine: string
  /** It could not be run, or not to its end. */
  readonly error?: Error | undefined
}

export interface Running {
  readonly started: Promise<unknown>
  readonly ended: Promise<Ended>
  /** SIGTERM, and SIGKILL when that does not help. */
  stop(): void
  kill(): void
}

/** Runs a program in a process group of its own, so that what it starts ends with it. */
export function runProgram(options: Program, input: string, line: (text: string) => void): Running {
  const { program, args, cwd, killAfter, maxOutput } = options
  const child = spawn(program, args, { cwd, env: environment(options), detached: true, stdio: "pipe" })
  let timer: NodeJS.Timeout | undefined
  let error: Error | undefined
  let lastLine = ""
  const kill = () => signalGroup(child, "SIGKILL")
  const output = collect(child, maxOutput, () => {
    error ??= failure(
      "MILLRACE_COMMAND_FAILED",
      `${program} printed more than ${maxOutput} bytes; see executorOptions.maxOutput.`,
    )
    kill()
  })
  createInterface({ input: child.stderr }).on("line", (text) => {
    lastLine = text.slice(0, 2_000)
    line(lastLine)
  })
  child.stdin.on("error", () => {}) // it need not read its job
  child.stdin.end(input)
  const started = new Promise((resolve, reject) => child.once("spawn", () => resolve(undefined)).once("error", reject))
  child.on("error", (cause) => (error ??= notStarted(program, cause)))
  const ended = new Promise<Ended>((resolve) => {
    const end = (code: number | null, signal: NodeJS.Signals | null) => {
      clearTimeout(timer)
      resolve({ code, signal, output: output(), lastLine, error })
    }
    child.once("close", end)
    child.once("error", () => child.pid ?? end(null, null))
  })
  const stop = () => {
    signalGroup(child, "SIGTERM")
    timer ??= setTimeout(kill, killAfter)
  }
  return { started, ended, stop, kill }
}

/** Only what was said to be let through. */
function environment({ env, passEnv }: Program): Record<string, string> {
  const passed = passEnv.flatMap((name) =>
    process.env[name] === undefined ? [] : [[name, process.env[name]] as const],
  )
  return { ...Object.fromEntries(passed), ...env }
}

function collect(child: ChildProcess, most: number, over: () => void): () => string {
  const chunks: Buffer[] = []
  let size = 0
  child.stdout!.on("data", (chunk: Buffer) => {
    size += chunk.length
    if (size > most) over()
    else chunks.push(chunk)
  })
  return () => Buffer.concat(chunks).toString("utf8")
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    child.kill(signal) // no groups on this system, or the group is gone
  }
}

const notStarted = (program: string, cause: Error) =>
  failure("MILLRACE_EXECUTOR_START", `${program} could not be started: ${describe(cause)}`, cause)

import { accessSync, constants } from "node:fs"
import { delimiter, join, sep } from "node:path"
import { list, parseOptions, text, type OptionsInput, type OptionsOutput } from "../lib/options.ts"
import { commandOptions, parseExecutorOptions } from "../model/built-in-executors.ts"
import { failure } from "../model/errors.ts"
import type { Attempt, Executor, ExecutorQueue } from "../model/executor.ts"
import type { Report } from "../model/outcome.ts"
import { outcomeOf } from "./command-outcome.ts"
import { runProgram, type Ended, type Running } from "./program.ts"

/*
 * Runs a program for each job: the job as JSON on its standard input, its outcome as JSON on its standard output, lines of
 * its standard error in the job's log. It is off unless registered, since the program and its arguments stand in the
 * queue's row: whoever may write that row may run programs on the workers that have this executor.
 */

const registerOptions = {
  /** Programs that queues may name, as they name them. Default: any. */
  programs: list(text({ doc: "A program." }), {
    doc: "Programs that queues may name, as they name them. Default: any.",
  }),
}

export type CommandOptions = OptionsInput<typeof registerOptions>
type Options = OptionsOutput<typeof commandOptions>

/**
 * Runs a program for each job, with the arguments of the queue's options.
 *
 * @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION.
 */
export function commandExecutor(given?: CommandOptions): (queue: ExecutorQueue) => Executor {
  const { programs } = parseOptions("commandExecutor", registerOptions, given)
  return (queue) => {
    const options = parseExecutorOptions(queue.name, commandOptions, queue.options)
    if (programs && !programs.includes(options.program)) throw notAllowed(queue.name, options.program, programs)
    return executorOf(options, locate(options.program))
  }
}

function executorOf(options: Options, program: string): Executor {
  const running = new Map<Attempt, Running>()
  return {
    defaultConcurrency: 1,
    needsHandler: false,
    remote: true,
    limits: ["time"],
    async run(attempt) {
      const one = runProgram({ ...options, program }, jobText(attempt), (line) => {
        if (options.logErrors) attempt.log(line)
      })
      running.set(attempt, one)
      one.started.then(
        () => attempt.started(),
        () => {}, // it never ran, which `ended` tells
      )
      const stop = () => one.stop()
      if (attempt.signal.aborted) stop()
      else attempt.signal.addEventListener("abort", stop, { once: true })
      const ended = await one.ended
      running.delete(attempt)
      return reportOf(attempt, options, ended)
    },
    kill: (attempt) => running.get(attempt)?.kill(),
    async close() {
      for (const one of running.values()) one.kill()
      await Promise.all(Array.from(running.values(), (one) => one.ended))
    },
  }
}

/** What the program reads: one JSON object, and the end of the input. */
function jobText(attempt: Attempt): string {
  const { id, name, queue, attempt: number, maxAttempts, crashes, claims, tags, timeout } = attempt
  const rest = JSON.stringify({ id, name, queue, attempt: number, maxAttempts, crashes, claims, tags, timeout })
  return `${rest.slice(0, -1)},"meta":${attempt.metaText ?? "{}"},"payload":${attempt.payloadText}}\n`
}

function reportOf(attempt: Attempt, { outcome, program }: Options, ended: Ended): Report {
  if (ended.error) return { ok: false, error: ended.error }
  const told = outcome === "json" ? outcomeOf(ended.output) : undefined
  if (ended.code === 0 && outcome === "status") return { ok: true, value: undefined }
  if (attempt.signal.aborted && !(ended.code === 0 && told)) return { ok: false, error: attempt.signal.reason }
  if (told && (ended.code === 0 || !told.report.ok)) {
    Object.assign(attempt.meta, told.meta)
    return told.report
  }
  if (ended.code === 0 && ended.output.trim() === "") return { ok: true, value: undefined }
  return { ok: false, error: failedCommand(program, ended) }
}

function failedCommand(program: string, { code, signal, output, lastLine }: Ended) {
  const how = signal === null ? `ended with exit status ${code}` : `was ended by ${signal}`
  const said = lastLine === "" ? "" : `: ${lastLine}`
  if (code !== 0) return failure("MILLRACE_COMMAND_FAILED", `${program} ${how}${said}`)
  return failure(
    "MILLRACE_COMMAND_FAILED",
    `${program} ended well, but what it printed is no outcome: ${JSON.stringify(output.slice(0, 200))}. Print ` +
      '{"result": …}, {"error": "…"}, {"snooze": "5m"} and the like, or set executorOptions.outcome to "status".',
  )
}

/** The program's file, found now: its own environment has no PATH to find it by. */
function locate(program: string): string {
  if (program.includes("/") || program.includes(sep)) return program
  const folders = (process.env.PATH ?? "").split(delimiter)
  const found = folders.map((folder) => join(folder, program)).find(isExecutable)
  if (found !== undefined) return found
  throw failure(
    "MILLRACE_EXECUTOR_START",
    `There is no program "${program}" in the PATH of this worker. Install it, or give its path as executorOptions.program.`,
  )
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const notAllowed = (queue: string, program: string, programs: readonly string[]) =>
  failure(
    "MILLRACE_BAD_OPTION",
    `Queue "${queue}" names the program "${program}", which this worker does not allow. Allowed: ${programs.join(", ")}.`,
  )

// What every process of a round notes, each in a file of its own, outside the database under test. A line is handed to
// the operating system before the process goes on, so a SIGKILL loses none.
import fs from "node:fs"
import path from "node:path"
import { machineTime } from "./timing.ts"

/** How a job behaves; travels in its payload. */
export interface Script {
  /** Names the push, also when its reply is lost. */
  readonly mark: string
  readonly ms: number
  /** Attempts that throw. */
  readonly fails: number
  readonly snoozes: number
  /** It throws as soon as its signal fires. */
  readonly obey: boolean
  /** Place in the order of a producer that pushes one after the other. */
  readonly n?: number
}

export interface Pushing {
  readonly t: "push"
  readonly mark: string
  readonly job: string
  readonly script: Script
  readonly maxAttempts: number
  readonly key?: string | undefined
  /** Of the job whose handler pushed it; it exists only if that run succeeds. */
  readonly parent?: { readonly job: string; readonly claims: number } | undefined
}

export type Note =
  | Pushing
  | { readonly t: "pushed"; readonly mark: string; readonly id: string; readonly duplicate: boolean }
  | { readonly t: "unpushed"; readonly mark: string; readonly code: string; readonly sure: boolean }
  | { readonly t: "cancel"; readonly id: string }
  | { readonly t: "cancelled"; readonly id: string; readonly outcome: string }
  | { readonly t: "start"; readonly id: string; readonly claims: number; readonly attempt: number; readonly crashes: number } // prettier-ignore
  | { readonly t: "end"; readonly id: string; readonly claims: number; readonly how: "return" | "throw" | "snooze" }
  | { readonly t: "abort"; readonly id: string; readonly claims: number; readonly code: string }
  | { readonly t: "commit"; readonly id: string; readonly claims: number }
  | { readonly t: "refused"; readonly id: string; readonly claims: number; readonly code: string }
  | { readonly t: "saved"; readonly id: string; readonly claims: number; readonly state: string }
  | { readonly t: "die"; readonly id: string; readonly claims: number }
  | { readonly t: "recovered"; readonly jobs: number }
  | { readonly t: "lead"; readonly term: string }
  | { readonly t: "follow"; readonly term: string }
  | { readonly t: "ready" }
  | { readonly t: "stopping" }
  | { readonly t: "stopped"; readonly saved: boolean }
  | { readonly t: "stall"; readonly ms: number }
  | { readonly t: "log"; readonly level: string; readonly message: string; readonly fields?: object | undefined }

/** `by` is the process: its slot and the number of its start, as in "w0.3". */
export type Entry<T extends Note["t"] = Note["t"]> = Extract<Note, { t: T }> & {
  readonly at: number
  readonly by: string
}

export class Recorder {
  readonly #file: number
  readonly #by: string

  constructor(folder: string, by: string) {
    this.#file = fs.openSync(path.join(folder, `${by}.jsonl`), "a")
    this.#by = by
  }

  note(note: Note, at = machineTime()): void {
    fs.writeSync(this.#file, `${JSON.stringify({ ...note, at, by: this.#by })}\n`)
  }
}

/** Everything that the processes of a round noted, in order of time. */
export function readRecords(folder: string): Entry[] {
  const lines = fs
    .readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl"))
    .flatMap((name) => fs.readFileSync(path.join(folder, name), "utf8").split("\n"))
  return lines
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Entry)
    .sort((a, b) => a.at - b.at)
}

export const slotOf = (by: string): string => by.slice(0, by.indexOf("."))

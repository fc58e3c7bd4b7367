// The processes of a round: one per slot, started again when it has ended, killed, frozen and stopped on order.
import { spawn, type ChildProcess } from "node:child_process"
import { fileURLToPath } from "node:url"
import { machineTime } from "./timing.ts"

const living = new Set<ChildProcess>()
process.on("exit", endAll)

/** Reaches frozen ones, too. */
export function endAll(): void {
  for (const child of living) child.kill("SIGKILL")
}

export type Desertion = { readonly by: string; readonly at: number; readonly how: string }

const couldNotStart = 4

/** A file beside this one. */
type Program = "worker" | "pusher" | "rival"

/** One place in the crew. */
export class Slot {
  readonly name: string
  readonly deserters: Desertion[] = []
  readonly #program: Program
  readonly #plan: (label: string, generation: number) => object
  #child: ChildProcess | undefined
  #gone: Promise<void> = Promise.resolve()
  #generation = 0
  #closed = false
  /** We end it ourselves, or its own job does. */
  #expected = false
  #output = ""

  constructor(name: string, program: Program, plan: (label: string, generation: number) => object) {
    this.name = name
    this.#program = program
    this.#plan = (label, generation) => ({ ...plan(label, generation), label })
  }

  get alive(): boolean {
    return this.#child !== undefined
  }

  start(): void {
    if (this.#closed || this.#child) return
    const label = `${this.name}.${++this.#generation}`
    const file = fileURLToPath(new URL(`./${this.#program}.js`, import.meta.url))
    const child = spawn(process.execPath, ["--enable-source-maps", file], {
      env: { ...process.env, NODE_OPTIONS: "", MILLRACE_PLAN: JSON.stringify(this.#plan(label, this.#generation)) },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    })
    living.add(child)
    this.#child = child
    this.#expected = false
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding("utf8").on("data", (text: string) => (this.#output = (this.#output + text).slice(-2_000)))
    this.#gone = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        living.delete(child)
        this.#ended(label, code, signal)
        resolve()
      })
    })
  }

  #ended(label: string, code: number | null, signal: NodeJS.Signals | null): void {
    this.#child = undefined
    // SIGKILL: by us, or by a job that kills its process. 4: it was not up yet.
    const own = this.#expected || code === couldNotStart || signal === "SIGKILL"
    if (!own) {
      const how = `${signal ?? `exit code ${code}`} ${this.#output}`.trim()
      this.deserters.push({ by: label, at: machineTime(), how })
    }
    if (!this.#expected) setTimeout(() => this.start(), 300)
  }

  /** SIGKILL; another one is started after this time. */
  async kill(restartIn: number): Promise<void> {
    this.#expected = true
    this.#child?.kill("SIGKILL")
    await this.#gone
    await pause(restartIn)
    this.start()
  }

  async freeze(ms: number): Promise<void> {
    const child = this.#child
    child?.kill("SIGSTOP")
    await pause(ms)
    child?.kill("SIGCONT")
  }

  /** SIGTERM; another one is started when it has ended. */
  async replace(limit: number): Promise<void> {
    await this.#stop(limit)
    this.start()
  }

  /** SIGTERM, and no other is started. */
  async close(limit: number): Promise<void> {
    this.#closed = true
    await this.#stop(limit)
  }

  async #stop(limit: number): Promise<void> {
    const child = this.#child
    this.#expected = true
    child?.kill("SIGTERM")
    const late = setTimeout(() => {
      this.deserters.push({ by: this.name, at: machineTime(), how: `did not end within ${limit} ms of SIGTERM` })
      child?.kill("SIGKILL")
    }, limit)
    await this.#gone
    clearTimeout(late)
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

// A program in a process of its own, whose handlers report over IPC and wait for orders, and which can be killed, frozen
// and thawed. Whatever happens to a test, none is left behind.
import { spawn, type ChildProcess } from "node:child_process"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { patience, until } from "./until.ts"

/** What a program says. `at` is in milliseconds of the machine's monotonic clock, the same for all processes. */
export type Report =
  | { readonly kind: "ready" }
  | { readonly kind: "started"; readonly job: string; readonly attempt: number; readonly crashes: number; readonly claims: number } // prettier-ignore
  | { readonly kind: "aborted"; readonly job: string; readonly claims: number; readonly code: string }
  | { readonly kind: "ended"; readonly job: string; readonly claims: number; readonly code?: string | undefined }
  | { readonly kind: "committed"; readonly job: string; readonly claims: number }
  | { readonly kind: "refused"; readonly job: string; readonly claims: number; readonly code: string }
  | { readonly kind: "pushed"; readonly job: string }
  | { readonly kind: "stopped"; readonly saved: boolean }
  | { readonly kind: "log"; readonly level: string; readonly message: string; readonly fields?: object | undefined }

export type Kind = Report["kind"]
export type Event<K extends Kind = Kind> = Extract<Report, { kind: K }> & { readonly at: number }

/** What a handler that waits is told. */
export interface Order {
  readonly job: string
  readonly do: "return" | "throw"
  readonly value?: unknown
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export const machineTime = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..")
const living = new Set<ChildProcess>()
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL") // reaches a frozen one, too
})

export class WorkerProcess {
  readonly label: string
  readonly events: Event[] = []
  readonly exit: Promise<Exit>
  readonly #child: ChildProcess
  #exit: Exit | undefined
  #output = ""

  /** @param program a file of test/faults/programs, without its ending. @param plan what it reads from MILLRACE_PLAN. */
  constructor(program: string, label: string, plan: object) {
    this.label = label
    this.#child = spawn(process.execPath, [path.join(root, "build/test/faults/programs", `${program}.js`)], {
      cwd: root,
      env: { ...process.env, NODE_OPTIONS: "", MILLRACE_PLAN: JSON.stringify({ ...plan, label }) },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    })
    living.add(this.#child)
    this.#child.on("message", (event: Event) => this.events.push(event))
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      stream.setEncoding("utf8").on("data", (text: string) => (this.#output += text))
    this.exit = new Promise((resolve, reject) => {
      this.#child.once("error", reject)
      // "close" comes after the last output and the last message.
      this.#child.once("close", (code, signal) => {
        living.delete(this.#child)
        resolve((this.#exit = { code, signal }))
      })
    })
  }

  /** What it wrote to stdout and stderr. */
  get output(): string {
    return this.#output
  }

  get alive(): boolean {
    return this.#exit === undefined
  }

  ready(): Promise<Event<"ready">> {
    return this.event("ready")
  }

  /** A handler has started this job; `claims` tells its runs apart. */
  started(job: string, claims?: number): Promise<Event<"started">> {
    return this.event("started", job, (event) => claims === undefined || event.claims === claims)
  }

  /** The signal of this job has fired. */
  aborted(job: string): Promise<Event<"aborted">> {
    return this.event("aborted", job)
  }

  /** The first such event, now or later. */
  event<K extends Kind>(kind: K, job?: string, fits: (event: Event<K>) => boolean = () => true): Promise<Event<K>> {
    return until(`${this.label} says "${kind}"${job ? ` about job ${job}` : ""}`, () => {
      const found = this.all(kind, job).find(fits)
      if (!found && !this.alive) throw new Error(`${this.label} has ended:\n${this.#output}`)
      return found
    }).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}; its last words:\n${this.lastWords()}`, { cause: error })
    })
  }

  /** Every such event so far. */
  all<K extends Kind>(kind: K, job?: string): Event<K>[] {
    return this.events.filter(
      (event): event is Event<K> => event.kind === kind && (job === undefined || ("job" in event && event.job === job)),
    )
  }

  /** What it logged and wrote last, for the message of a test that fails. */
  lastWords(): string {
    return [...this.events.slice(-25).map((event) => JSON.stringify(event)), this.#output.slice(-2_000)].join("\n")
  }

  /** The handler that holds this job returns. */
  finish(job: string, value?: unknown): void {
    this.#order({ job, do: "return", value })
  }

  /** The handler that holds this job throws. */
  fail(job: string, value = "told to fail"): void {
    this.#order({ job, do: "throw", value })
  }

  /** Reaches a frozen process when it is thawed. */
  #order(order: Order): void {
    if (this.#child.connected) this.#child.send(order, () => {})
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    this.#child.kill(signal)
  }

  freeze(): void {
    this.#child.kill("SIGSTOP")
  }

  thaw(): void {
    this.#child.kill("SIGCONT")
  }

  /** Ends it, whatever it does, and waits for that. */
  async end(): Promise<void> {
    if (this.alive) this.#child.kill("SIGKILL")
    await this.exit.catch(() => {})
  }

  /** It ends by itself. */
  async ended(limit = patience): Promise<Exit> {
    return until(`${this.label} ends by itself`, () => this.#exit, limit).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}; its last words:\n${this.lastWords()}`, { cause: error })
    })
  }
}

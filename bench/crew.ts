// The measuring process's hold on its children: calls with a deadline, events, and an end that always comes.
import { fork, type ChildProcess } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Commands, Message, Request } from "./child.ts"
import type { SideName } from "./side.ts"

type Arguments<K extends keyof Commands> = Parameters<Commands[K]>
type Answer<K extends keyof Commands> = Awaited<ReturnType<Commands[K]>>

export interface Child {
  call<K extends keyof Commands>(command: K, ...args: Arguments<K>): Promise<Answer<K>>
  /** Resolves when the first handler of this child has started, to that time. */
  first: Promise<number>
  /** How many handlers have finished, as last reported; throws once the process has ended. */
  finished(): number
  /** Stops what it runs, if it answers, and ends the process. */
  end(): Promise<void>
}

const STOP_LIMIT = 20_000

interface Waiting {
  resolve(value: unknown): void
  reject(error: Error): void
}

const living = new Set<ChildProcess>()
let closed = false

/** Ends every child and lets no new one start; whoever waits for one fails, and cleans up. */
export function endCrew(): void {
  closed = true
  for (const child of living) child.kill("SIGKILL")
}

/** Another process that is ended with the crew. */
export function enlist(child: ChildProcess): void {
  if (closed) child.kill("SIGKILL")
  living.add(child)
  child.once("exit", () => living.delete(child))
}

export function forkChild(side: SideName, url: string): Child {
  if (closed) throw new Error("interrupted")
  const path = fileURLToPath(new URL("./child.js", import.meta.url))
  const child = fork(path, [side, url], { stdio: ["ignore", "ignore", "inherit", "ipc"] })
  const waiting = new Map<number, Waiting>()
  const first = deferred<number>()
  let finished = 0
  let calls = 0

  living.add(child)
  first.promise.catch(() => {}) // nobody may be waiting for it
  child.on("message", (message: Message) => {
    if ("event" in message) {
      if (message.event === "first") first.resolve(message.at)
      else finished = message.count
      return
    }
    const call = waiting.get(message.id)
    waiting.delete(message.id)
    if ("error" in message) call?.reject(new Error(`${side}: ${message.error}`))
    else call?.resolve(message.value)
  })
  child.once("exit", (code, signal) => {
    living.delete(child)
    const error = new Error(`${side}: its process ended (${signal ?? `exit code ${code}`})`)
    for (const call of waiting.values()) call.reject(error)
    waiting.clear()
    first.reject(error)
  })

  const self: Child = {
    first: first.promise,
    finished() {
      if (!living.has(child)) throw new Error(`${side}: its process has ended`)
      return finished
    },
    call<K extends keyof Commands>(command: K, ...args: Arguments<K>) {
      const { promise, resolve, reject } = deferred<unknown>()
      const request: Request = { id: ++calls, command, args }
      waiting.set(request.id, { resolve, reject })
      if (living.has(child)) child.send(request)
      else reject(new Error(`${side}: its process has ended`))
      return promise as Promise<Answer<K>>
    },
    async end() {
      if (!living.has(child)) return
      const gone = new Promise((resolve) => child.once("exit", resolve))
      const overdue = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT)
      await self.call("stop").catch((error: unknown) => process.stderr.write(`${String(error)}\n`))
      child.kill("SIGKILL")
      await gone
      clearTimeout(overdue)
    },
  }
  return self
}

interface Deferred<T> {
  promise: Promise<T>
  resolve(value: T): void
  reject(error: Error): void
}

function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void
  let reject!: (error: Error) => void
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue
    reject = onError
  })
  return { promise, resolve, reject }
}

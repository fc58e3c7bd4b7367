// The worker processes: starts them, replaces one that is lost, and ends them all.
import { fork, type ChildProcess } from "node:child_process"
import os from "node:os"
import readline from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type pg from "pg"
import { Problem } from "./problem.ts"

export interface Member {
  id: string
  pid: number
}

export interface Crew extends AsyncDisposable {
  /** Those that live now. */
  members(): Member[]
  /** Also of those that were lost. */
  pidOf(id: string): number | undefined
}

export interface CrewEvents {
  say(text: string): void
  /** No worker can be started any more. */
  broken(problem: Problem): void
}

interface Hand extends Member {
  child: ChildProcess
  ended: Promise<void>
  lastWords: string
}

const startLimit = 30_000
const stopLimit = 15_000

export async function startCrew(count: number, url: string, pool: pg.Pool, events: CrewEvents): Promise<Crew> {
  const hired: Hand[] = []
  let closing = false

  async function hire(): Promise<void> {
    const hand = start(`worker-${hired.length + 1}`, url, (text) => events.say(text))
    hired.push(hand)
    await ready(hand, pool)
    void hand.ended.then(() => replace(hand))
  }

  async function replace(lost: Hand): Promise<void> {
    if (closing) return
    const heir = `worker-${hired.length + 1}`
    events.say(`${lost.id} (pid ${lost.pid}) is gone; ${heir} replaces it, its jobs run again soon`)
    await hire().catch((error: Problem) => void (closing || events.broken(error)))
  }

  const crew: Crew = {
    members: () => hired.filter(isAlive).map(({ id, pid }) => ({ id, pid })),
    pidOf: (id) => hired.find((hand) => hand.id === id)?.pid,
    async [Symbol.asyncDispose]() {
      closing = true
      await Promise.all(hired.map(dismiss))
    },
  }
  try {
    await Promise.all(Array.from({ length: count }, hire))
    return crew
  } catch (error) {
    await crew[Symbol.asyncDispose]()
    throw error
  }
}

function start(id: string, url: string, say: (text: string) => void): Hand {
  const threads = String(Math.max(4, os.availableParallelism()))
  const child = fork(fileURLToPath(new URL("./worker.js", import.meta.url)), [id], {
    env: { ...process.env, DEMO_DATABASE_URL: url, UV_THREADPOOL_SIZE: threads },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    detached: process.platform !== "win32", // Ctrl-C is for us; we then end the workers in order
  })
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()).once("error", () => resolve()))
  const hand: Hand = { id, pid: child.pid ?? 0, child, ended, lastWords: "" }
  readline.createInterface({ input: child.stderr! }).on("line", (text) => {
    hand.lastWords = text
    say(`${id}: ${text}`)
  })
  return hand
}

const isAlive = ({ child }: Hand): boolean =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null

/** A worker that is up has a row, which names the queues it runs. */
async function ready(hand: Hand, pool: pg.Pool): Promise<void> {
  const deadline = performance.now() + startLimit
  const registered = "select from millrace.workers where id = $1 and pid = $2 and queues <> '{}'"
  while ((await pool.query(registered, [hand.id, hand.pid])).rowCount === 0) {
    if (!isAlive(hand)) throw new Problem(`${hand.id} could not start: ${hand.lastWords || "it ended at once"}`)
    if (performance.now() > deadline) throw new Problem(`${hand.id} was not ready within ${startLimit / 1000} s.`)
    await sleep(20)
  }
}

/** SIGTERM lets it finish and save what it runs. */
async function dismiss(hand: Hand): Promise<void> {
  if (!isAlive(hand)) return
  hand.child.kill("SIGTERM")
  const overdue = setTimeout(() => hand.child.kill("SIGKILL"), stopLimit)
  await hand.ended
  clearTimeout(overdue)
}

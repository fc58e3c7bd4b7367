// What the figures are made of: one clock for every process, CPU seconds of PostgreSQL, bytes of WAL.
import { readFileSync, readdirSync } from "node:fs"
import { cpus } from "node:os"
import type { Client } from "pg"

/** Linux counts CPU time for users in hundredths of a second, whatever the kernel's own tick. */
const TICKS_PER_SECOND = 100

/** Milliseconds of CLOCK_MONOTONIC: the same reading in every process of this machine. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** CPU seconds this process has used, all threads. */
export function ownCpu(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

interface ProcessTimes {
  parent: number
  seconds: number
}

/**
 * CPU seconds of a process and all its descendants, living and gone.
 *
 * A process's `cutime` holds what its reaped children used, their own reaped children included, and never what a
 * living child uses, so adding the four counters over the living tree counts everything once.
 */
export function treeCpu(root: number): number {
  const processes = readProcesses()
  const members = new Set([root])
  for (let grown = true; grown;) {
    grown = false
    for (const [pid, { parent }] of processes) {
      if (members.has(parent) && !members.has(pid)) grown = Boolean(members.add(pid))
    }
  }
  return sum([...members].map((pid) => processes.get(pid)?.seconds ?? 0))
}

function readProcesses(): Map<number, ProcessTimes> {
  const found = new Map<number, ProcessTimes>()
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry)
    const times = Number.isInteger(pid) ? readProcess(pid) : undefined
    if (times) found.set(pid, times)
  }
  return found
}

export function readProcess(pid: number): ProcessTimes | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  } catch {
    return undefined // gone since the folder was listed
  }
  // The name, in brackets, may hold spaces and brackets: count fields from the last closing one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const ticks = sum(fields.slice(11, 15).map(Number)) // utime stime cutime cstime
  return { parent: Number(fields[1]), seconds: ticks / TICKS_PER_SECOND }
}

/** CPU seconds that everything on this machine has used, time stolen by its host included. */
export function machineCpu(): number {
  const line = readFileSync("/proc/stat", "utf8").split("\n", 1)[0] ?? ""
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number)
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND
}

export interface Meter {
  /** Seconds of wall clock and of PostgreSQL's CPU since the meter was started. */
  read(): Reading
}

export interface Reading {
  elapsed: number
  server: number | null
  /** Share of the machine that neither PostgreSQL, this process nor the given clients used. */
  foreignLoad(clientCpu: number): number | null
}

/** `postmaster` is null when PostgreSQL runs elsewhere; its CPU is then not known, and not guessed. */
export function startMeter(postmaster: number | null): Meter {
  const read = () => ({
    at: now(),
    server: postmaster === null ? null : treeCpu(postmaster),
    machine: machineCpu(),
    own: ownCpu(),
  })
  const before = read()
  return {
    read() {
      const after = read()
      const elapsed = (after.at - before.at) / 1000
      const server = after.server === null || before.server === null ? null : after.server - before.server
      const foreignLoad = (clientCpu: number) => {
        if (server === null) return null
        const foreign = after.machine - before.machine - server - clientCpu - (after.own - before.own)
        return Math.max(0, foreign / (elapsed * cpus().length))
      }
      return { elapsed, server, foreignLoad }
    },
  }
}

/** The heaviest of several foreign loads. */
export function worstLoad(loads: readonly (number | null)[]): number | null {
  const known = loads.filter((load) => load !== null)
  return known.length === 0 ? null : Math.max(...known)
}

export async function walPosition(db: Client): Promise<string> {
  const { rows } = await db.query<{ lsn: string }>("select pg_current_wal_lsn()::text as lsn")
  return rows[0]?.lsn ?? "0/0"
}

export async function walBytesSince(db: Client, position: string): Promise<number> {
  const { rows } = await db.query<{ bytes: string }>(
    "select pg_wal_lsn_diff(pg_current_wal_lsn(), $1::pg_lsn)::text as bytes",
    [position],
  )
  return Number(rows[0]?.bytes)
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

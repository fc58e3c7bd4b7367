// The yardstick: the same work on the same files in one loop, without jobs or a database.
import { createHash } from "node:crypto"
import path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { attempts } from "./jobs.ts"
import { isHopeless, measureFile, type Measurement } from "./measure.ts"
import type { Progress } from "./progress.ts"
import type { Totals } from "./totals.ts"
import { walk } from "./walk.ts"

export interface Measured {
  file: string
  /** Undefined: it could not be read. */
  found: Measurement | undefined
}

const showEvery = 100

export async function plainPass(folder: string, expected: number, progress: Progress, stop: AbortSignal) {
  const begun = performance.now()
  const all: Measured[] = []
  let failed = 0
  let shown = begun
  const show = () => progress.show({ done: all.length, total: Math.max(expected, all.length), failed })
  for await (const file of walk(folder)) {
    const found = await measurePatiently(path.join(folder, file), stop)
    stop.throwIfAborted()
    if (!found) failed++
    all.push({ file, found })
    if (performance.now() < shown + showEvery) continue
    shown = performance.now()
    show()
  }
  progress.show({ done: all.length, total: all.length, failed })
  progress.end()
  return { all, seconds: (performance.now() - begun) / 1000 }
}

/** Gives up when a job would. */
export async function measurePatiently(file: string, stop: AbortSignal): Promise<Measurement | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await measureFile(file, stop)
    } catch (error) {
      stop.throwIfAborted()
      if (isHopeless(error) || attempt === attempts) return undefined
      await sleep(100 * attempt)
    }
  }
}

export function sum(all: readonly Measured[]): Totals {
  const totals = { files: 0, failed: 0, bytes: 0, lines: 0, gzip: 0 }
  for (const { found } of all) {
    totals.files += found ? 1 : 0
    totals.failed += found ? 0 : 1
    totals.bytes += found?.bytes ?? 0
    totals.lines += found?.lines ?? 0
    totals.gzip += found?.gzip ?? 0
  }
  return { ...totals, digest: digestOf(all) }
}

function digestOf(all: readonly Measured[]): string {
  const lines = all
    .flatMap(({ file, found }) => (found ? [{ key: Buffer.from(file), line: `${found.sha256}  ${file}\n` }] : []))
    .sort((one, other) => Buffer.compare(one.key, other.key)) // as PostgreSQL's collation "C" does
  const hash = createHash("sha256")
  for (const { line } of lines) hash.update(line)
  return hash.digest("hex")
}

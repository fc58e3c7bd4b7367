// A few rounds of the fault harness. `npm run faults -- --soak 30m` runs many.
import { execFile } from "node:child_process"
import path from "node:path"
import { promisify } from "node:util"
import { expect, test } from "vitest"
import type { Summary } from "../../faults/report.ts"

const root = path.resolve(import.meta.dirname, "../..")

/** In a process of its own: what it kills, freezes and starts is its own as well. */
async function harness(...args: string[]): Promise<Summary> {
  const file = path.join(root, "build/faults/main.js")
  const run = promisify(execFile)(process.execPath, [file, "--json", ...args], { maxBuffer: 1e8 })
  const { stdout, stderr } = await run.catch((error: unknown) => error as { stdout: string; stderr: string })
  if (stdout === "") throw new Error(stderr)
  return JSON.parse(stdout) as Summary
}

test.each(["all", "T5"])(
  "a round of faults (%s) loses no job, and explains every duplicate",
  { timeout: 300_000 },
  async (name) => {
    const summary = await harness("--test", name, "--seconds", "5", "--seed", "3", "--drain", "200")
    expect(summary.violations).toEqual([])
    expect(summary).toMatchObject({ lost: 0, unexplainedDuplicates: 0 })
    expect(summary.jobs).toBeGreaterThan(0)
    expect(summary.faults).toBeGreaterThan(0)
  },
)

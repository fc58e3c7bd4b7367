// Test of the checker: bugs are planted into copies of the compiled package, and each must be caught by the harness as it
// runs against that copy. What it finds counts only if the healthy package passes the same round.
import { spawn, type ChildProcess } from "node:child_process"
import fs from "node:fs"
import path from "node:path"
import { root } from "../bench/root.ts"
import { mutants, type Edit, type Mutant } from "./patches.ts"
import type { Summary } from "./report.ts"
import { machineTime } from "./timing.ts"

interface Catch {
  readonly name: string
  readonly bug: string
  readonly test: string
  readonly caught: boolean
  /** What the checker said first. */
  readonly by: string | undefined
  readonly rounds: number
  readonly seconds: number
}

interface Hunt {
  readonly json: boolean
  readonly seed: number
  readonly only: string | undefined
}

export async function hunt({ json, seed, only }: Hunt): Promise<number> {
  const chosen = mutants.filter(({ name }) => only === undefined || only.split(",").includes(name))
  const places = new Map(chosen.map((mutant) => [mutant, plant(mutant)])) // all first: a patch that rots is told at once
  const catches: Catch[] = []
  for (const [mutant, place] of places) {
    const one = await catchIt(mutant, place, seed)
    catches.push(one)
    process.stderr.write(`${one.caught ? "caught" : "NOT CAUGHT"} ${one.name} in ${one.seconds} s: ${one.by ?? ""}\n`)
  }
  const caught = catches.filter((one) => one.caught).length
  const rows = catches.map(({ name, test, caught: found, seconds, by, bug }) => `${found ? "caught" : "MISSED"}  ${name} (${test}, ${seconds} s): ${bug}. ${by ?? ""}`) // prettier-ignore
  const text = `${rows.join("\n")}\n${caught} of ${catches.length} caught\n`
  process.stdout.write(json ? `${JSON.stringify({ mutants: catches.length, caught, catches }, null, 2)}\n` : text)
  return caught === catches.length ? 0 : 1
}

const healthy = new Map<string, Promise<Summary>>()

/** What a round says counts only if it says nothing about the healthy package: each such round is run once. */
async function healthyPasses({ test, seconds = 12 }: Mutant, seed: number): Promise<boolean> {
  const key = `${test} ${seconds} ${seed}`
  if (!healthy.has(key)) healthy.set(key, runOnce({ name: "none", test, seconds }, root, seed))
  const { violations } = await healthy.get(key)!
  for (const { rule, text } of violations) process.stderr.write(`the healthy package, ${key}: ${rule}: ${text}\n`)
  return violations.length === 0
}

/** The compiled package and the harness, copied, with the bug in it. The package's name leads to the copy there. */
function plant({ name, edits }: Mutant): string {
  const place = path.join(root, "build/mutants", name)
  fs.rmSync(place, { recursive: true, force: true })
  const parts = [
    "package.json",
    "dist",
    "build/faults",
    "build/bench",
    "build/test/model",
    "build/test/support",
    "build/tools",
  ]
  for (const part of parts) fs.cpSync(path.join(root, part), path.join(place, part), { recursive: true })
  for (const edit of edits) apply(name, path.join(place, "dist", edit.file), edit)
  return place
}

/** @throws when the text is not there exactly once. */
export function apply(name: string, file: string, { from, to }: Edit): void {
  const parts = fs.readFileSync(file, "utf8").split(from)
  if (parts.length !== 2)
    throw new Error(`the patch of mutant "${name}" does not fit: ${file} holds ${parts.length - 1} times: ${from}`)
  fs.writeFileSync(file, parts.join(to))
}

async function catchIt(mutant: Mutant, place: string, seed: number): Promise<Catch> {
  const { name, bug, test, rounds = 4 } = mutant
  const began = machineTime()
  const taken = () => Math.round((machineTime() - began) / 1_000)
  for (let round = 1; round <= rounds; round++) {
    const { violations } = await runOnce(mutant, place, seed + round - 1)
    const [first] = violations
    if (!first || !(await healthyPasses(mutant, seed + round - 1))) continue
    return { name, bug, test, caught: true, by: `${first.rule}: ${first.text}`, rounds: round, seconds: taken() }
  }
  return { name, bug, test, caught: false, by: undefined, rounds, seconds: taken() }
}

let living: ChildProcess | undefined
process.once("exit", () => living?.kill("SIGTERM"))

/** @throws when the harness itself fails: that catches nothing. */
async function runOnce(
  { name, test, seconds = 12 }: Pick<Mutant, "name" | "test" | "seconds">,
  place: string,
  seed: number,
): Promise<Summary> {
  const file = path.join(place, "build/faults/main.js")
  const args = [file, "--json", "--test", test, "--seconds", `${seconds}`, "--seed", `${seed}`, "--drain", "60"]
  const child = spawn(process.execPath, args, { cwd: place, stdio: ["ignore", "pipe", "pipe"] })
  living = child
  let output = ""
  let progress = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (progress = (progress + text).slice(-2_000)))
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve))
  if (code !== 0 && code !== 1)
    throw new Error(`the harness failed with mutant "${name}" (exit code ${code}):\n${progress}`)
  return JSON.parse(output) as Summary
}

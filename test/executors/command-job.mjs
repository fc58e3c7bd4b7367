// The program that the tests of the `command` executor run. What it does stands in the payload's `do`.
import fs from "node:fs"
import { spawn } from "node:child_process"

const ticking = process.argv[2] === "tick"
const job = ticking ? { payload: { file: process.argv[3] } } : JSON.parse(fs.readFileSync(0, "utf8"))
/** @param {unknown} outcome */
const say = (outcome) => process.stdout.write(`${JSON.stringify(outcome)}\n`)
const { do: what, file } = job.payload ?? {}
if (file) fs.writeFileSync(file, "0")

/** @type {Record<string, () => unknown>} */
const behaviours = {
  succeed: () => say({ result: "told to succeed" }),
  fail() {
    process.stderr.write("told to fail\n")
    process.exitCode = 7
  },
  obey() {
    process.on("SIGTERM", () => process.exit(1))
    setInterval(() => {}, 1_000)
  },
  deaf() {
    process.on("SIGTERM", () => {})
    let count = 0
    setInterval(() => fs.writeFileSync(file, String((count += 1))), 5)
  },
  // Started by a child of this program: only a signal to the whole group reaches it.
  family() {
    spawn(process.execPath, [process.argv[1], "tick", file], { stdio: "ignore" })
    process.on("SIGTERM", () => {})
    setInterval(() => {}, 1_000)
  },
  job: () => say({ result: job }),
  env: () => say({ result: process.env }),
  argv: () => say({ result: [process.argv.slice(2), process.cwd()] }),
  say: () => process.stdout.write(job.payload.text),
  outcome: () => say(job.payload.outcome),
  log: () => process.stderr.write("first line\nsecond line\n"),
  flood() {
    for (;;) fs.writeSync(1, "x".repeat(100_000))
  },
  status: () => (process.exitCode = job.payload.status),
}

if (ticking) behaviours.deaf?.()
else behaviours[what]?.()

// One entrance for a fresh clone: `node scripts/run.mjs test|bench|demo|faults [...args]` installs what is missing, builds, and
// runs. Only Node and npm are needed; PostgreSQL comes with the development dependencies.
//
//   test   every check, then vitest with the arguments given; the last line is "N passed, N failed"
//   bench  build/bench/main.js with the arguments given       stdout belongs to the program
//   demo   build/demo/main.js with the arguments given        stdout belongs to the program
//   faults build/faults/main.js with the arguments given      stdout belongs to the program
import { spawn } from "node:child_process"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { build } from "./build.mjs"
import { ensureChromium } from "./chromium.mjs"
import { node, program, root, step } from "./tools.mjs"

/** @typedef {import("./tools.mjs").Result} Result */

const [mode = "", ...args] = process.argv.slice(2)
if (mode === "test") process.exitCode = await test(args)
else if (["bench", "demo", "faults"].includes(mode)) process.exitCode = await runProgram(mode, args)
else {
  process.stderr.write("usage: node scripts/run.mjs test|bench|demo|faults [...args]\n")
  process.exitCode = 2
}

/** @param {string[]} filters */
async function test(filters) {
  if (!(await install(process.stdout))) return summary(0, 1)
  const failedSteps = []
  for (const [name, work] of checks()) {
    if (!(await step(process.stdout, name, work))) failedSteps.push(name)
  }
  const { passed, failed } = await vitest(filters)
  if (failedSteps.length > 0) process.stdout.write(`\nfailed before the tests, see above: ${failedSteps.join(", ")}\n`)
  return summary(passed, failed + failedSteps.length)
}

/** @returns {[string, () => Promise<Result>][]} */
function checks() {
  return [
    ["build", build], // first: the linter reads the types of the compiled package, which tests import by name
    ["format", () => node([program("prettier"), "--check", "--log-level", "warn", "."])],
    ["lint", () => node([program("oxlint"), "--type-aware", "--deny-warnings"])],
    [
      "arrows",
      () => node([program("dependency-cruiser", "depcruise"), ...sources("src", "bench", "demo", "examples")]),
    ],
    ["types", () => node([program("typescript", "tsc"), "--noEmit"])],
    ["types of the dashboard", () => node([program("typescript", "tsc"), "--noEmit", "-p", "dashboard"])],
    ["unused", () => node([program("knip"), "--no-config-hints"])],
    ["package", checkPackage],
    ["browser", ensureChromium],
  ]
}

/** @param {string[]} folders */
function sources(...folders) {
  return folders.filter((folder) => fs.existsSync(path.join(root, folder)))
}

/** Packs the package as npm would publish it and checks the archive. @returns {Promise<Result>} */
async function checkPackage() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "millrace-pack-"))
  try {
    const packed = await npm(["pack", "--silent", "--ignore-scripts", "--pack-destination", folder])
    if (packed.code !== 0) return packed
    const archive = path.join(folder, fs.readdirSync(folder)[0] ?? "")
    const lint = await node([program("publint"), archive, "--strict"])
    const types = await node([program("@arethetypeswrong/cli", "attw"), archive, "--profile", "esm-only"])
    return { code: lint.code || types.code, output: lint.output + types.output }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** @param {string[]} filters */
async function vitest(filters) {
  const report = path.join(root, "build", "vitest.json")
  fs.rmSync(report, { force: true })
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const { code } = await node([program("vitest"), "run", ...reporters, ...filters], "inherit", { MILLRACE_BUILT: "1" })
  const { passed, failed } = count(report)
  return { passed, failed: code !== 0 && failed === 0 ? 1 : failed } // an error outside of any test
}

/** @param {string} report */
function count(report) {
  if (!fs.existsSync(report)) return { passed: 0, failed: 1 }
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(fs.readFileSync(report, "utf8"))
  /** @param {{ status: string, assertionResults: { status: string }[] }} file */
  const brokenOutsideTests = (file) =>
    file.status === "failed" && !file.assertionResults.some((result) => result.status === "failed")
  return { passed: numPassedTests, failed: numFailedTests + testResults.filter(brokenOutsideTests).length }
}

/** @param {number} passed @param {number} failed */
function summary(passed, failed) {
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`)
  return failed === 0 ? 0 : 1
}

/** @param {string} name @param {string[]} programArgs */
async function runProgram(name, programArgs) {
  if (!(await install(process.stderr))) return 1
  if (!(await step(process.stderr, "build", build))) return 1
  const child = spawn(process.execPath, [path.join(root, "build", name, "main.js"), ...programArgs], {
    stdio: "inherit",
  })
  for (const signal of ["SIGINT", "SIGTERM"])
    process.on(signal, () => void child.kill(signal === "SIGINT" ? "SIGINT" : "SIGTERM"))
  return new Promise((resolve) => child.once("close", (code) => resolve(code ?? 1)))
}

/** @param {NodeJS.WritableStream} out */
async function install(out) {
  return installed() || step(out, "install", () => npm(["ci", "--no-audit", "--no-fund"]))
}

/** Whether node_modules holds what package-lock.json asks for, by the lock file that npm leaves in it. */
function installed() {
  const found = lockedVersions(path.join(root, "node_modules", ".package-lock.json"))
  const wanted = lockedVersions(path.join(root, "package-lock.json"))
  if (!found || !wanted) return false
  const same = [...found].every(([name, { version }]) => wanted.get(name)?.version === version)
  return same && [...wanted].every(([name, { optional }]) => optional || found.has(name)) // optional: other platforms
}

/** @param {string} file @returns {Map<string, { version: string, optional?: boolean }> | undefined} */
function lockedVersions(file) {
  if (!fs.existsSync(file)) return undefined
  const { packages } = JSON.parse(fs.readFileSync(file, "utf8"))
  return new Map(Object.entries(packages).filter(([name]) => name !== ""))
}

/** @param {string[]} npmArgs @returns {Promise<Result>} */
function npm(npmArgs) {
  const script = process.env.npm_execpath // set when npm runs us
  if (script?.endsWith("npm-cli.js")) return node([script, ...npmArgs])
  return new Promise((resolve) => {
    const child = spawn("npm", npmArgs, { cwd: root, shell: process.platform === "win32" })
    let output = ""
    child.stdout.on("data", (data) => (output += data))
    child.stderr.on("data", (data) => (output += data))
    child.once("error", (error) => resolve({ code: 1, output: error.message }))
    child.once("close", (code) => resolve({ code: code ?? 1, output }))
  })
}

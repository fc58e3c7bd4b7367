// What the scripts share: finding the programs of development dependencies, running them, measuring them.
import { spawn } from "node:child_process"
import fs from "node:fs"
import path from "node:path"
import { fileURLToPath } from "node:url"

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))

/** @typedef {{ code: number, output: string }} Result */
/** @typedef {"capture" | "inherit" | "stderr"} Output Where the output goes; "stderr" keeps stdout free. */

/** The script of an installed package's program, to be run with `node`. @param {string} pkg @param {string} [name] */
export function program(pkg, name) {
  const folder = path.join(root, "node_modules", pkg)
  const { bin } = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"))
  return path.join(folder, typeof bin === "string" ? bin : bin[name ?? pkg])
}

/** @param {string[]} args @param {Output} [output] @param {Record<string, string>} [env] @returns {Promise<Result>} */
export function node(args, output = "capture", env = {}) {
  const stdout = output === "capture" ? "pipe" : output === "inherit" ? "inherit" : process.stderr
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["inherit", stdout, output === "capture" ? "pipe" : "inherit"],
  })
  return new Promise((resolve) => {
    let text = ""
    child.stdout?.on("data", (data) => (text += data))
    child.stderr?.on("data", (data) => (text += data))
    child.once("error", (error) => resolve({ code: 1, output: error.message }))
    child.once("close", (code) => resolve({ code: code ?? 1, output: text }))
  })
}

/**
 * Does one step and prints one line about it; what it had to say only if it failed.
 * @param {NodeJS.WritableStream} out @param {string} name @param {() => Promise<Result>} work
 */
export async function step(out, name, work) {
  const start = performance.now()
  const { code, output } = await work().catch((error) => ({ code: 1, output: String(error?.stack ?? error) }))
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  out.write(`${name.padEnd(10)} ${code === 0 ? "ok    " : "failed"} ${seconds.padStart(6)} s\n`)
  if (code !== 0) out.write(`${output.trimEnd()}\n\n`)
  return code === 0
}

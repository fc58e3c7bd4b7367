import { execFile } from "node:child_process"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { promisify } from "node:util"
import { afterAll, expect, test } from "vitest"
import { testDatabase } from "../support/database.ts"

const root = path.resolve(import.meta.dirname, "..", "..")

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "millrace-installed-"))
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

/** npm as a user would call it, without what an npm around this test has set for its own package. */
function npm(tool: "npm" | "npx", args: readonly string[], cwd: string) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_package_|npm_lifecycle_|npm_config_local_prefix|INIT_CWD)/.test(name),
    ),
  )
  return promisify(execFile)(tool, args, { cwd, env, timeout: 120_000, shell: process.platform === "win32" })
}

/** The versions that this checkout has, so that what `npm ci` left in npm's cache is enough. */
function lockedVersions(): Record<string, string> {
  const { packages } = JSON.parse(fs.readFileSync(path.join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { version: string; dev?: boolean; optional?: boolean }>
  }
  const used = Object.entries(packages).filter(([name, { dev, optional }]) => name !== "" && !dev && !optional)
  return Object.fromEntries(used.map(([name, { version }]) => [name.replace(/^.*node_modules\//, ""), version]))
}

test("the packed package works with npx in an empty folder", { timeout: 120_000 }, async () => {
  const { stdout: packed } = await npm(
    "npm",
    ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder],
    root,
  )
  const manifest = { private: true, dependencies: { millrace: `file:./${packed.trim()}` }, overrides: lockedVersions() }
  fs.writeFileSync(path.join(folder, "package.json"), JSON.stringify(manifest))
  await npm("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"], folder)

  const { version } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")) as { version: string }
  expect((await npm("npx", ["--no-install", "millrace", "--version"], folder)).stdout).toBe(`${version}\n`)
  const database = await testDatabase()
  try {
    const run = (...args: string[]) => npm("npx", ["--no-install", "millrace", ...args, "--dsn", database.url], folder)
    await run("migrate")
    expect((await run("migrate", "status")).stdout).toContain("up to date")
  } finally {
    await database.close()
  }
})

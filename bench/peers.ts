// The peers are no dependencies of this package: each is installed, on demand and pinned, in a folder of its own.
import { execFile } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { mkdir, rename, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { root } from "./root.ts"
import type { PeerName } from "./side.ts"

/** Piscina is measured inside the scenario `executors`, and has no side. */
type Installed = PeerName | "piscina"

const pinned: Record<Installed, string> = { "graphile-worker": "0.18.0", "pg-boss": "12.38.0", piscina: "5.3.2" }

const INSTALL_LIMIT = 5 * 60_000

/** Installs a peer unless it is there already. */
export async function installPeer(name: Installed): Promise<void> {
  const folder = folderOf(name)
  if (existsSync(folder)) return
  process.stderr.write(`installing ${name} ${pinned[name]}\n`)
  // Renamed into place once whole, so that an interrupted install is never taken for a peer.
  const unfinished = `${folder}.${process.pid}`
  await mkdir(unfinished, { recursive: true })
  try {
    await writeFile(join(unfinished, "package.json"), `${JSON.stringify({ private: true }, null, 2)}\n`)
    await npmInstall(unfinished, `${name}@${pinned[name]}`)
    await rename(unfinished, folder)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

async function npmInstall(folder: string, spec: string): Promise<void> {
  const flags = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
  // Both peers ask for Node 22 and run on 20: npm's engine check only warns unless told to be strict.
  const args = ["install", ...flags, "--engine-strict=false", "--prefix", folder, spec]
  await promisify(execFile)("npm", args, { cwd: folder, timeout: INSTALL_LIMIT })
}

/** The peer's module, untyped: each side declares the little it uses. */
export function importPeer(name: Installed): Promise<unknown> {
  return import(pathToFileURL(requireFrom(name).resolve(name)).href)
}

export function peerVersions(name: Installed): Record<string, string> {
  const own = { [name]: installedVersion(name, name) }
  return name === "piscina" ? own : { ...own, pg: installedVersion(name, "pg") }
}

function installedVersion(peer: Installed, name: string): string {
  const file = join(folderOf(peer), "node_modules", name, "package.json")
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { version: string }
  return version
}

function requireFrom(name: Installed): NodeJS.Require {
  return createRequire(join(folderOf(name), "package.json"))
}

function folderOf(name: Installed): string {
  return join(root, "bench", ".peers", `${name}-${pinned[name]}`)
}

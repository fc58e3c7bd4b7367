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

/** Piscina is measured inside the scenario `executors`, the dashboards inside `dashboards`; they have no side. */
type Installed = PeerName | "piscina" | "bull-board" | "pg-boss-dashboard"

const pinned: Record<Installed, Record<string, string>> = {
  "graphile-worker": { "graphile-worker": "0.18.0" },
  "pg-boss": { "pg-boss": "12.38.0" },
  piscina: { piscina: "5.3.2" },
  "bull-board": { "@bull-board/express": "9.10.1", "@bull-board/api": "9.10.1", bullmq: "6.7.0", ioredis: "5.11.1" },
  // The newest pg-boss whose schema (42) this dashboard reads: beside a later one its page of a job answers 500.
  "pg-boss-dashboard": { "@pg-boss/dashboard": "1.9.0", "pg-boss": "12.34.0" },
}

const INSTALL_LIMIT = 5 * 60_000

/** Installs a peer unless it is there already. */
export async function installPeer(name: Installed): Promise<void> {
  const folder = folderOf(name)
  if (existsSync(folder)) return
  const packages = Object.entries(pinned[name]).map(([module, version]) => `${module}@${version}`)
  process.stderr.write(`installing ${packages.join(" ")}\n`)
  // Renamed into place once whole, so that an interrupted install is never taken for a peer.
  const unfinished = `${folder}.${process.pid}`
  await mkdir(unfinished, { recursive: true })
  try {
    await writeFile(join(unfinished, "package.json"), `${JSON.stringify({ private: true }, null, 2)}\n`)
    await npmInstall(unfinished, packages)
    await rename(unfinished, folder)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

async function npmInstall(folder: string, packages: string[]): Promise<void> {
  const flags = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
  // Most peers ask for Node 22 and run on 20: npm's engine check only warns unless told to be strict.
  const args = ["install", ...flags, "--engine-strict=false", "--prefix", folder, ...packages]
  await promisify(execFile)("npm", args, { cwd: folder, timeout: INSTALL_LIMIT })
}

/** A module of the peer's, untyped: each side declares the little it uses. */
export function importPeer(name: Installed, module: string = name): Promise<unknown> {
  return import(pathToFileURL(requireFrom(name).resolve(module)).href)
}

export function peerVersions(name: Installed): Record<string, string> {
  const drivers = name === "piscina" || name === "bull-board" ? [] : ["pg"]
  const modules = [...Object.keys(pinned[name]), ...drivers]
  return Object.fromEntries(modules.map((module) => [module, installedVersion(name, module)]))
}

/** A file of one of the peer's packages. */
export function peerFile(name: Installed, ...path: string[]): string {
  return join(folderOf(name), "node_modules", ...path)
}

function installedVersion(peer: Installed, name: string): string {
  const { version } = JSON.parse(readFileSync(peerFile(peer, name, "package.json"), "utf8")) as { version: string }
  return version
}

function requireFrom(name: Installed): NodeJS.Require {
  return createRequire(join(folderOf(name), "package.json"))
}

function folderOf(name: Installed): string {
  return join(root, "bench", ".peers", [name, ...Object.values(pinned[name])].join("-"))
}

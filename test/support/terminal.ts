import { spawnSync } from "node:child_process"

/**
 * Whether this machine can make pseudo-terminals for the simulated printer: `script` of util-linux, as on every Debian.
 * Elsewhere the tests that need one are skipped, and say so.
 */
export function hasTerminals(): boolean {
  const { error, stdout } = spawnSync("script", ["--version"], { encoding: "utf8" })
  const found = error === undefined && stdout.includes("util-linux")
  if (!found) process.stderr.write("SKIPPED: the serial printer needs `script` of util-linux, which is not here\n")
  return found
}

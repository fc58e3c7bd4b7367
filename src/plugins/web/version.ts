import { readFileSync } from "node:fs"

let version: string | undefined

/** The version of this package. */
export function packageVersion(): string {
  const read = () =>
    JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as { version: string }
  return (version ??= read().version)
}

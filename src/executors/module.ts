import { fileURLToPath } from "node:url"
import { describe } from "../lib/error.ts"
import { failure } from "../model/errors.ts"

/*
 * Imports the modules of handlers, in the worker and in its threads and processes. Node itself is asked first: compiled
 * code needs nobody else, and under a loader of the user's (tsx, ts-node, a Node that strips types) sources are loaded
 * by that. Only where Node does not know TypeScript is jiti used, so that sources run as they are in development.
 */

const sources = /\.[cm]?tsx?$/

/** @throws MILLRACE_BAD_MODULE, or what the module throws. */
export async function loadModule(url: string): Promise<object> {
  try {
    return (await import(url)) as object
  } catch (error) {
    if (!sources.test(new URL(url).pathname) || !isAboutTypeScript(error)) throw error
    return loadSource(url, error)
  }
}

const codes = new Set([
  "ERR_UNKNOWN_FILE_EXTENSION",
  "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX",
  "ERR_INVALID_TYPESCRIPT_SYNTAX",
])

const isAboutTypeScript = (error: unknown): boolean => codes.has(String((error as { code?: unknown }).code))

async function loadSource(url: string, cause: unknown): Promise<object> {
  const { createJiti } = await import("jiti").catch((error: unknown) => {
    throw failure(
      "MILLRACE_BAD_MODULE",
      `${url} is TypeScript, which this Node cannot load by itself (${describe(cause)}), and jiti is not installed: ${describe(error)}`,
      error,
    )
  })
  return (await createJiti(import.meta.url).import(fileURLToPath(url))) as object
}

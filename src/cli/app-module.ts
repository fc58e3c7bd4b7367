import path from "node:path"
import { pathToFileURL } from "node:url"
import { createJiti } from "jiti"
import { Millrace } from "../index.ts"
import type { WorkerOptions } from "../worker.ts"
import { UsageError } from "./command.ts"

/** What a module for `--app` exports, each by name or inside its default export. */
export interface AppModule {
  readonly app: Millrace
  /** Options of the worker: handlers, tags, plugins. */
  readonly worker: WorkerOptions
}

/** The user's module threw while it was loaded: its own stack is what helps. */
export class ModuleError extends Error {}

/**
 * Loads a module in JavaScript or TypeScript.
 *
 * @throws ModuleError when it throws, UsageError when it does not export what is needed.
 */
export async function loadApp(given: string): Promise<AppModule> {
  const exported = await load(given)
  const inside = exported.default
  const all = { ...(typeof inside === "object" && inside !== null && !isApp(inside) ? inside : {}), ...exported }
  const app = "app" in all ? all.app : inside
  if (!isApp(app)) {
    throw new UsageError(
      `${given} does not export an app: write \`export const app = new Millrace(…)\`, and for a worker \`export const worker = { handlers: […] }\`.`,
    )
  }
  const { worker = {} } = all as { worker?: WorkerOptions }
  return { app, worker }
}

const isApp = (given: unknown): given is Millrace =>
  given instanceof Millrace || (given as Millrace | undefined)?.constructor?.name === "Millrace"

async function load(given: string): Promise<Record<string, unknown>> {
  const file = path.resolve(given)
  try {
    return await createJiti(pathToFileURL(file).href).import<Record<string, unknown>>(file)
  } catch (error) {
    const missing =
      (error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND" ||
      (error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND"
    if (missing && String((error as Error).message).includes(file)) throw new UsageError(`there is no module ${given}`)
    throw new ModuleError(`${given} could not be loaded`, { cause: error })
  }
}

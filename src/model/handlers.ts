import type { Handler } from "./definition.ts"
import { failure } from "./errors.ts"

/** Which handler answers to which name: a closed list, made at start. A name in the database never loads code. */
export type Registry = ReadonlyMap<string, Handler>

/** @throws MILLRACE_DUPLICATE_HANDLER, MILLRACE_BAD_OPTION. */
export function registryOf(handlers: readonly Handler[]): Registry {
  const registry = new Map<string, Handler>()
  for (const handler of handlers) {
    if (!isHandler(handler)) {
      throw failure(
        "MILLRACE_BAD_OPTION",
        "Worker.handlers: each entry is made by `definition.handler(…)` or `definition.batch(…)`, or is the URL of a module.",
      )
    }
    for (const name of [handler.definition.name, ...handler.definition.aliases]) {
      if (registry.has(name))
        throw failure(
          "MILLRACE_DUPLICATE_HANDLER",
          `Two handlers answer to the job name "${name}" (aliases count); keep one of them.`,
        )
      registry.set(name, handler)
    }
  }
  return registry
}

/**
 * The handlers that a module exports, by whatever names, one by one or in arrays; each knows its module.
 *
 * @throws MILLRACE_BAD_MODULE when there is none.
 */
export function handlersIn(exported: object, module: string): Handler[] {
  const found = new Set(Object.values(exported).flat().filter(isHandler))
  if (found.size === 0) {
    throw failure(
      "MILLRACE_BAD_MODULE",
      `The module ${module} exports no handler. Export what \`definition.handler(…)\` returns, by any name or in an array.`,
    )
  }
  return [...found].map((handler) => Object.freeze({ ...handler, module }))
}

const isHandler = (value: unknown): value is Handler =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as Partial<Handler>).run === "function" &&
  typeof (value as Partial<Handler>).definition === "object"

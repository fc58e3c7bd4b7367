import type { Handler } from "../model/definition.ts"
import { failure } from "../model/errors.ts"
import type { Announced } from "../postgres/definitions.ts"

/** Which handler answers to which name: a closed list, made at start. A name in the database never loads code. */
export type Registry = ReadonlyMap<string, Handler>

/** @throws MILLRACE_DUPLICATE_HANDLER, MILLRACE_BAD_OPTION. */
export function registryOf(handlers: readonly Handler[]): Registry {
  const registry = new Map<string, Handler>()
  for (const handler of handlers) {
    if (typeof handler !== "object" || handler === null || typeof handler.run !== "function" || !handler.definition) {
      throw failure(
        "MILLRACE_BAD_OPTION",
        "Worker.handlers: each entry is made by `definition.handler(…)` or `definition.batch(…)`.",
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

/** What the handlers' definitions say about their names, aliases included. */
export const announcedBy = (registry: Registry): Announced[] =>
  Array.from(registry, ([name, { definition }]) => ({
    name,
    kind: definition.defaults.kind,
    keyed: definition.defaults.uniqueKey !== undefined,
  }))

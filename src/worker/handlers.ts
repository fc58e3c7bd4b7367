import type { Registry } from "../model/handlers.ts"
import type { Announced } from "../postgres/definitions.ts"

/** What the handlers' definitions say about their names, aliases included. */
export const announcedBy = (registry: Registry): Announced[] =>
  Array.from(registry, ([name, { definition }]) => ({
    name,
    kind: definition.defaults.kind,
    keyed: definition.defaults.uniqueKey !== undefined,
  }))

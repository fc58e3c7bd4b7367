import { describe } from "../lib/error.ts"
import type { Handler } from "../model/definition.ts"
import { failure } from "../model/errors.ts"
import { handlersIn } from "../model/handlers.ts"

/**
 * Handlers that were given, and those that modules export.
 *
 * @param load imports a module, also one in TypeScript.
 * @throws MILLRACE_BAD_MODULE.
 */
export async function loadHandlers(
  sources: readonly (Handler | URL)[],
  load: (url: string) => Promise<object>,
): Promise<Handler[]> {
  const found = sources.map(async (source) => {
    if (!(source instanceof URL)) return [source]
    const exported = await load(source.href).catch((error: unknown) => {
      throw failure("MILLRACE_BAD_MODULE", `${source.href} could not be loaded: ${describe(error)}`, error)
    })
    return handlersIn(exported, source.href)
  })
  return (await Promise.all(found)).flat()
}

import { describe } from "../lib/error.ts"
import { preparePush, type AnyDefinition, type MakeJob } from "../model/definition.ts"
import type { PushOptions } from "../model/job-options.ts"
import type { Logger } from "../model/log.ts"
import type { Plugin } from "../model/plugin.ts"

interface Pushing {
  readonly plugins: readonly Plugin[]
  readonly maxPayload: number
  readonly log: Logger
}

/** `preparePush`, seen by the plugins that want to see pushes first. Without any it is that very function. */
export function prepare(context: Pushing, definition: AnyDefinition, options: PushOptions | undefined): MakeJob {
  const hooks = context.plugins.filter((plugin) => plugin.pushing)
  if (hooks.length === 0) return preparePush(definition, options, context)
  preparePush(definition, options, context) // what is wrong with the options is said before the first payload
  return (payload) => {
    const meta: Record<string, unknown> = { ...options?.meta }
    const job = { name: definition.name, queue: options?.queue ?? definition.defaults.queue, payload, meta }
    for (const plugin of hooks) {
      try {
        plugin.pushing!(job)
      } catch (error) {
        context.log.error(`plugin "${plugin.name}": pushing threw and was skipped`, { error: describe(error) })
      }
    }
    const seen = Object.keys(meta).length > 0 ? { ...options, meta } : options
    return preparePush(definition, seen, context)(payload)
  }
}

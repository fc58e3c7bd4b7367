import { describe } from "../lib/error.ts"
import { preparePush, type AnyDefinition, type MakeJob } from "../model/definition.ts"
import type { PushOptions } from "../model/job-options.ts"
import type { Logger } from "../model/log.ts"
import type { Plugin, PushCall, PushedJob } from "../model/plugin.ts"

interface Pushing {
  readonly plugins: readonly Plugin[]
  readonly maxPayload: number
  readonly log: Logger
}

/** Lets every plugin see what is pushed, and add to its meta. */
export function showPush(plugins: readonly Plugin[], log: Logger, job: PushedJob): void {
  for (const plugin of plugins) {
    try {
      plugin.pushing?.(job)
    } catch (error) {
      log.error(`plugin "${plugin.name}": pushing threw and was skipped`, { error: describe(error) })
    }
  }
}

/** `preparePush`, seen by the plugins that want to see pushes first. Without any it is that very function. */
export function prepare(context: Pushing, definition: AnyDefinition, options: PushOptions | undefined): MakeJob {
  const hooks = context.plugins.filter((plugin) => plugin.pushing)
  if (hooks.length === 0) return preparePush(definition, options, context)
  preparePush(definition, options, context) // what is wrong with the options is said before the first payload
  return (payload) => {
    const meta: Record<string, unknown> = { ...options?.meta }
    const job = { name: definition.name, queue: options?.queue ?? definition.defaults.queue, payload, meta }
    showPush(hooks, context.log, job)
    const seen = Object.keys(meta).length > 0 ? { ...options, meta } : options
    return preparePush(definition, seen, context)(payload)
  }
}

/** Whether any plugin wants to be around pushes. */
export const wrapsPushes = ({ plugins }: Pushing): boolean => plugins.some((plugin) => plugin.aroundPush)

/**
 * A push inside the plugins that wrap pushes, the first one outermost. It happens once, whatever they do, and what it
 * returned or threw is what the caller gets: a plugin that throws by itself is reported and skipped.
 */
export async function wrapPush<Pushed extends { readonly id: string }>(
  { plugins, log }: Pushing,
  given: { definition: AnyDefinition; options: PushOptions | undefined; many: boolean },
  push: () => Promise<Pushed[]>,
): Promise<Pushed[]> {
  const { definition, options, many } = given
  const call: PushCall = { name: definition.name, queue: options?.queue ?? definition.defaults.queue, many }
  const wrapping = plugins.filter((plugin) => plugin.aroundPush)
  let pushing: Promise<Pushed[]> | undefined
  const step = async (index: number): Promise<readonly string[]> => {
    const plugin = wrapping[index]
    if (!plugin) return (await (pushing ??= push())).map(({ id }) => id)
    let inner: Promise<readonly string[]> | undefined
    let failed = false
    const next = () =>
      (inner ??= step(index + 1).catch((error: unknown) => {
        failed = true
        throw error
      }))
    try {
      await plugin.aroundPush!(call, next)
    } catch (error) {
      if (!failed) log.error(`plugin "${plugin.name}": aroundPush threw and was skipped`, { error: describe(error) })
    }
    return next()
  }
  await step(0)
  return pushing!
}

import { monotonic } from "../lib/clock.ts"
import type { JobApp } from "../model/job-app.ts"
import { badPlugin, type AppContext, type Plugin } from "../model/plugin.ts"
import type { Context } from "./context.ts"

/** What the app's own plugins work with, wherever they are called from. */
export function appContext(context: Context, client: JobApp): AppContext {
  return {
    db: context.db,
    plugins: context.plugins,
    names: context.names,
    table: (name) => context.names.of(name),
    client,
    hub: context.hub,
    log: context.log,
    config: Object.freeze({
      schema: context.names.plain,
      notifications: context.notices.enabled,
      maxPayload: context.maxPayload,
    }),
    clock: { monotonic },
    wakeQueue: (about) => context.notices.send({ kind: "ready", about }),
  }
}

const attached = new WeakSet<Plugin>()

/** Tells each plugin which app it belongs to. @throws MILLRACE_BAD_PLUGIN for one that another app has. */
export function attachAll(plugins: readonly Plugin[], app: AppContext): void {
  for (const plugin of plugins) {
    if (!plugin.attach) continue
    if (attached.has(plugin))
      throw badPlugin(`plugin "${plugin.name}" belongs to another app; make one for each, with its factory.`)
    attached.add(plugin)
    plugin.attach(app)
  }
}

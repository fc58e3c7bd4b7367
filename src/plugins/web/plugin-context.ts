import { appContext } from "../../client/app-context.ts"
import type { Context } from "../../client/context.ts"
import type { Millrace } from "../../client/millrace.ts"
import { failure } from "../../model/errors.ts"
import { noMeter } from "../../model/metrics.ts"
import { notLeader, type Plugin, type PluginContext } from "../../model/plugin.ts"

/**
 * What the routes of another plugin are handed. On a worker it is the worker's own, under the plugin's name; elsewhere
 * there is no worker, so nothing leads, and what waits does not wait.
 */
export function pluginContext(
  context: Context,
  app: Millrace,
  { name }: Plugin,
  worker: PluginContext | undefined,
): PluginContext {
  const plugins = worker?.plugins ?? context.plugins
  const shared = {
    name,
    plugins,
    plugin: <P extends Plugin>(wanted: string) => find(plugins, wanted) as P,
    sleep: () => Promise.resolve(false),
    wakeUp: () => {},
  }
  if (worker) return Object.freeze({ ...worker, ...shared })
  return Object.freeze({
    ...appContext(context, app),
    ...shared,
    leader: nobody,
    worker: nowhere,
    metrics: noMeter,
    waitForLeader: () => Promise.resolve(false),
    asLeader: () => Promise.reject(noWorker()),
  })
}

const noWorker = () => notLeader("No worker runs here, so nothing leads: this route works in a worker's own dashboard.")

const nowhere: PluginContext["worker"] = {
  id: "",
  tags: [],
  queues: [],
  load: () => [],
  health: () => {
    throw noWorker()
  },
}

const nobody: PluginContext["leader"] = {
  leads: false,
  term: undefined,
  hold: () => Promise.reject(noWorker()),
  onChange: () => () => {},
}

function find(plugins: readonly Plugin[], name: string): Plugin {
  const found = plugins.find((plugin) => plugin.name === name)
  if (!found) throw failure("MILLRACE_UNKNOWN_PLUGIN", `There is no plugin "${name}" here.`)
  return found
}

import { context as contextOf, type Context } from "../../client/context.ts"
import type { Millrace } from "../../client/millrace.ts"
import type { JobRecord } from "../../model/job.ts"
import { any, compare, type Rule } from "../../model/rule.ts"
import { compileGlob } from "../../lib/glob.ts"
import type { Plugin, PluginContext } from "../../model/plugin.ts"
import { authOf, type Auth } from "./auth.ts"
import { Feed } from "./feed.ts"
import { Operations } from "./operations.ts"
import type { ParsedHandler } from "./options.ts"
import { holds } from "./permissions.ts"
import { pluginContext } from "./plugin-context.ts"
import { forbidden } from "./problem.ts"
import { redactor, type Redactor } from "./redact.ts"
import { tablesOf } from "./tables.ts"
import { Throttle } from "./throttle.ts"
import type { Access, Visitor } from "./visitor.ts"

/** What all routes of one mounted dashboard share. */
export interface Site {
  readonly app: Millrace
  readonly context: Context
  readonly options: ParsedHandler
  readonly auth: Auth
  readonly throttle: Throttle
  readonly redact: Redactor
  readonly operations: Operations
  readonly feed: Feed
  /** Makes the plugin's tables where they are missing. */
  ready(): Promise<void>
  /** The plugins whose routes are served. */
  plugins(): readonly Plugin[]
  /** What their routes are handed. */
  contextFor(plugin: Plugin): PluginContext
  /** From now on, the routes of a worker's plugins; undefined: of the app's. */
  onWorker(ctx: PluginContext | undefined): void
  close(): Promise<void>
}

export function makeSite(app: Millrace, options: ParsedHandler): Site {
  const context = app[contextOf]
  const ready = tablesOf(context)
  let worker: PluginContext | undefined
  const site: Site = {
    app,
    context,
    options,
    auth: authOf(context, ready, options.auth),
    throttle: new Throttle(() => performance.now()),
    redact: redactor(options.redact),
    operations: new Operations(app, context, options),
    feed: new Feed(context),
    ready,
    plugins: () => worker?.plugins ?? context.plugins,
    contextFor: (plugin) => pluginContext(context, app, plugin, worker),
    onWorker: (ctx) => void (worker = ctx),
    close: async () => {
      site.feed.close()
      await site.operations.close()
    },
  }
  return site
}

/** Whether a visitor may do something: the role first, then the resolver. Never both in one word. */
export async function allowed(site: Site, access: Access): Promise<boolean> {
  const { visitor, permission, queue, job } = access
  if (!holds(visitor, permission)) return false
  if (site.options.readOnly && !permission.endsWith(":read")) return false
  const place = queue ?? job?.queue
  if (place !== undefined && !maySeeQueue(visitor, place)) return false
  return site.options.authorize ? site.options.authorize(access) : true
}

/** @throws Refused. */
export async function requireAllowed(site: Site, access: Access): Promise<void> {
  if (!(await allowed(site, access))) throw forbidden(access.permission)
}

/** Those of some jobs that the resolver lets a visitor see. */
export async function readable(
  site: Site,
  visitor: Visitor,
  jobs: readonly JobRecord[],
): Promise<readonly JobRecord[]> {
  if (!site.options.authorize) return jobs
  const fine = await Promise.all(jobs.map((job) => allowed(site, { visitor, permission: "jobs:read", job })))
  return jobs.filter((_, index) => fine[index])
}

export function maySeeQueue({ queues }: Visitor, queue: string): boolean {
  return queues === undefined || queues.some((glob) => compileGlob(glob)(queue))
}

/** The rule that keeps a visitor to its own rows. */
export function scopeOf({ queues, rule }: Visitor): Rule | undefined {
  const parts: Rule[] = []
  if (queues) parts.push(any(...queues.map(queueRule)))
  if (rule) parts.push(rule)
  const [first, ...more] = parts
  return first && first.and(...more)
}

function queueRule(glob: string): Rule {
  if (!/[*?]/.test(glob)) return compare("queue", "eq", glob)
  const like = glob
    .replaceAll(/[\\%_]/g, "\\$&")
    .replaceAll(/\*+/g, "%")
    .replaceAll("?", "_")
  return compare("queue", "like", like)
}

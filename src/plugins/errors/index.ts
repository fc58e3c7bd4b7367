import { describe } from "../../lib/error.ts"
import { duration, integer, parseOptions, type OptionsInput } from "../../lib/options.ts"
import type { Transaction } from "../../model/database.ts"
import { badPlugin, type AppContext, type Ended, type Plugin, type PluginContext } from "../../model/plugin.ts"
import type { RunningJob } from "../../model/running-job.ts"
import { sqlState, verdict } from "../../postgres/sqlstate.ts"
import { migrations, tables } from "./migrations.ts"
import {
  findGroup,
  forget,
  listGroups,
  setState,
  type ErrorDetails,
  type ErrorGroup,
  type ErrorPage,
} from "./queries.ts"
import { record, type Failure, type News } from "./record.ts"
import { listOptions, routes, type ListOptions } from "./routes.ts"

/*
 * An inbox of errors instead of a list of failed jobs. Failed attempts are counted in the transaction that settles them, so
 * no count is ever lost or doubled, and those that succeed do not come here at all. Whatever goes wrong in here is undone
 * and reported, never the settlement.
 */

export const errorsOptions = {
  /** Newest jobs that are remembered for each error. */
  samples: integer({ default: 10, min: 1, max: 100, doc: "Newest jobs that are remembered for each error." }),
  /** How long counts per hour are kept. */
  keepHours: duration({ default: "30d", min: 3_600_000, doc: "How long counts per hour are kept." }),
  /** An error that did not occur for so long is forgotten. */
  keep: duration({ default: "90d", min: 3_600_000, doc: "An error that did not occur for so long is forgotten." }),
}

export type ErrorsOptions = OptionsInput<typeof errorsOptions>

export type { ErrorDetails, ErrorGroup, ErrorPage, ErrorState } from "./queries.ts"

/** Errors, grouped; on the app as `app.plugin<ErrorGroups>("errors")`. */
export interface ErrorGroups extends Plugin {
  /** Groups, the one that occurred last first. @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_CURSOR. */
  list(options?: ListOptions): Promise<ErrorPage>
  /** @throws MILLRACE_UNKNOWN_ERROR. */
  get(fingerprint: string): Promise<ErrorDetails>
  /** Done with: it opens again by itself when it occurs again. @throws MILLRACE_UNKNOWN_ERROR. */
  resolve(fingerprint: string): Promise<ErrorGroup>
  /** Counted on, but out of sight until it is reopened. @throws MILLRACE_UNKNOWN_ERROR. */
  ignore(fingerprint: string): Promise<ErrorGroup>
  /** @throws MILLRACE_UNKNOWN_ERROR. */
  reopen(fingerprint: string): Promise<ErrorGroup>
}

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function errorGroups(given?: ErrorsOptions): ErrorGroups {
  const { samples, keepHours, keep } = parseOptions("errorGroups", errorsOptions, given, { retention: "keep" })
  let app: AppContext | undefined
  const attached = (): AppContext => {
    if (!app) throw badPlugin("errorGroups() belongs to an app: new Millrace({ plugins: [errorGroups()] }).")
    return app
  }
  const news = new WeakMap<RunningJob, readonly News[]>()
  const add = (tx: Transaction, failures: readonly Failure[]) => record(tx, attached().names, failures, samples)
  const set = async (fingerprint: string, state: "open" | "resolved" | "ignored") =>
    setState(attached().db, attached().names, fingerprint, state)
  return {
    name: "errors",
    tables,
    migrations,
    routes,
    attach: (to) => void (app = to),
    saving: {
      select: ({ state, error }) => error !== undefined && (state === "failed" || state === "retrying"),
      run: async (batch, tx) => {
        const found = await unlessBroken(tx, attached(), () => add(tx, batch.map(failureOf)))
        if (found.length > 0) news.set(batch[0]!.job, found)
      },
    },
    saved(batch) {
      for (const { job } of batch) tell(attached(), news.get(job) ?? [])
    },
    ...lostJobs(async (failure) => tell(attached(), await add(attached().db, [failure]))),
    cleanup: ({ db, names }) => forget(db, names, keepHours, keep),
    list: async (options) =>
      listGroups(attached().db, attached().names, parseOptions("errors.list", listOptions, options)),
    get: async (fingerprint) => findGroup(attached().db, attached().names, fingerprint),
    resolve: (fingerprint) => set(fingerprint, "resolved"),
    ignore: (fingerprint) => set(fingerprint, "ignored"),
    reopen: (fingerprint) => set(fingerprint, "open"),
  }
}

const failureOf = ({ job: { id, name, queue }, error }: Ended): Failure => ({ id, name, queue, error: error! })

/** What cannot be counted must not keep a job from ending. Trouble with the database itself is the settlement's to judge. */
async function unlessBroken(tx: Transaction, { log }: AppContext, run: () => Promise<News[]>): Promise<News[]> {
  await tx.query("savepoint millrace_errors")
  try {
    return await run()
  } catch (error) {
    if (verdict(error) === "retry" && sqlState(error) !== "55P03") throw error
    await tx.query("rollback to savepoint millrace_errors")
    log.error("errors could not be counted; their jobs have ended all the same", { error: describe(error) })
    return []
  }
}

const tell = ({ hub }: AppContext, news: readonly News[]): void => {
  for (const { kind, ...body } of news) hub.emit(`error.${kind}`, body)
}

/** Jobs that failed because their workers were lost too often: nobody settles them here, recovery tells of them. */
function lostJobs(add: (failure: Failure) => Promise<void>): Pick<Plugin, "onStart" | "onStop"> {
  let workers = 0 // of this process; they hear one hub
  let remove: (() => void) | undefined
  return {
    onStart(ctx) {
      workers += 1
      remove ??= ctx.hub.on("job.recovered", async ({ body: { id, state } }) => {
        const failure = state === "failed" ? await lost(ctx, id) : undefined
        if (failure) await add(failure)
      })
    },
    onStop() {
      workers -= 1
      if (workers > 0) return
      remove?.()
      remove = undefined
    },
  }
}

async function lost({ client }: PluginContext, id: string): Promise<Failure | undefined> {
  const job = await client.job(id).get()
  const error = job?.errors.at(-1)
  return job && error && { id, name: job.name, queue: job.queue, error }
}

import { createHash } from "node:crypto"
import { didYouMean } from "../../lib/nearest.ts"
import type { CallerTransaction, Connection } from "../../model/database.ts"
import { preparePush, type AnyDefinition } from "../../model/definition.ts"
import { failure } from "../../model/errors.ts"
import type { AppContext, Plugin } from "../../model/plugin.ts"
import type { Pushable } from "../../model/pushable.ts"
import { fromTransaction } from "../../postgres/adapters/pg.ts"
import { sqlState } from "../../postgres/sqlstate.ts"
import { migrations } from "./migrations.ts"
import { badTrigger, parseTrigger, type TriggerOptions } from "./options.ts"
import {
  install,
  problemOf,
  readTriggers,
  relationOf,
  setEnabled,
  sourceOf,
  uninstall,
  type NewTrigger,
  type Relation,
  type TriggerRow,
} from "./queries.ts"
import { isColumns, sampleOf, trialOf, type PayloadMapping, type TriggerEvent, type TriggerSpec } from "./source.ts"

export type { TriggerOptions } from "./options.ts"
export type { MappedValue, TriggerEvent } from "./source.ts"

interface TransactionOption {
  /** Your own open transaction. */
  readonly tx?: CallerTransaction | undefined
}

/** A trigger as it is installed. */
export interface Trigger {
  readonly name: string
  /** The table, as it is called now. */
  readonly table: string
  readonly events: readonly TriggerEvent[]
  readonly job: string
  readonly queue: string
  readonly when: string | undefined
  readonly columns: readonly string[] | undefined
  /** Undefined: one job per statement. */
  readonly payload: PayloadMapping | undefined
  readonly uniqueKey: string | undefined
  readonly wake: boolean
  readonly enabled: boolean
  /** The triggers that are on the table: none when it was dropped. `on` is false for one that somebody disabled there. */
  readonly installed: readonly { readonly trigger: string; readonly sql: string; readonly on: boolean }[]
  /** The body of the function that they call. */
  readonly source: string
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** Jobs pushed by the data itself: what `triggers()` returns, beside being a plugin. */
export interface Triggers extends Plugin {
  /**
   * Installs PostgreSQL triggers that push a job for every row that a statement inserts, updates or deletes (or, without a payload, for
   * the statement), in its transaction. Again with the same arguments it does nothing; with others, it changes what is there.
   *
   * @example
   * await pushes.on("users", ["insert"], welcome, { payload: { userId: "id", mail: "email" } })
   *
   * @throws MILLRACE_BAD_TRIGGER for tables, columns and conditions that are not there, MILLRACE_BAD_PAYLOAD for a sample that the
   *   definition's schema refuses, MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION.
   */
  on<Input, Result>(
    table: string,
    events: readonly TriggerEvent[],
    definition: Pushable<Input, Result>,
    options?: TriggerOptions<NoInfer<Input>>,
  ): Promise<Trigger>
  list(options?: TransactionOption): Promise<Trigger[]>
  /** It pushes nothing until it is enabled; the table is not locked for that. @throws MILLRACE_UNKNOWN_TRIGGER. */
  disable(name: string, options?: TransactionOption): Promise<void>
  /** @throws MILLRACE_UNKNOWN_TRIGGER. */
  enable(name: string, options?: TransactionOption): Promise<void>
  /** Takes it off the table. False: there was none of this name. */
  drop(name: string, options?: TransactionOption): Promise<boolean>
}

/**
 * Jobs pushed by the data itself, by real PostgreSQL triggers: whoever writes to the table, with no worker online. Belongs to the
 * app: `new Millrace({ plugins: [pushes = triggers()] })`.
 */
export function triggers(): Triggers {
  let home: AppContext | undefined
  const app = (): AppContext => {
    if (home) return home
    throw failure("MILLRACE_NO_APP", "These triggers belong to no app yet: new Millrace({ plugins: [triggers()] }).")
  }
  const connection = (options?: TransactionOption): Connection => (options?.tx ? fromTransaction(options.tx) : app().db)
  const within = <T>(tx: CallerTransaction | undefined, run: (own: Connection) => Promise<T>): Promise<T> =>
    tx ? run(fromTransaction(tx)) : inOwn(app(), run)
  const enabled = async (name: string, value: boolean, options?: TransactionOption) => {
    if (!(await setEnabled(connection(options), app().names, name, value))) throw await unknown(app(), name)
  }
  return {
    name: "trigger",
    tables: ["triggers"],
    migrations,
    attach: (context) => void (home = context),
    async on(table, events, definition, options) {
      const wanted = parseTrigger(table, events, options)
      return within(wanted.tx, (tx) => on(app(), tx, table, definition, wanted))
    },
    list: async (options) => (await readTriggers(connection(options), app().names)).map(triggerOf),
    disable: (name, options) => enabled(name, false, options),
    enable: (name, options) => enabled(name, true, options),
    drop: async (name, options) => within(options?.tx, (tx) => uninstall(tx, app().names, name)),
  }
}

/**
 * Whoever uses the table for long is not waited for without end, since everybody else would wait behind us; nor would they wait for
 * a process that is frozen in the middle of it.
 */
const inOwn = <T>(app: AppContext, run: (tx: Connection) => Promise<T>): Promise<T> =>
  app.db.transaction(async (tx) => {
    await tx.query("set local lock_timeout = '5s'")
    await tx.query("set local idle_in_transaction_session_timeout = '10s'")
    return run(tx)
  })

type Wanted = ReturnType<typeof parseTrigger>

async function on(
  app: AppContext,
  tx: Connection,
  table: string,
  definition: AnyDefinition,
  wanted: Wanted,
): Promise<Trigger> {
  const { names } = app
  const relation = await relationFor(app, tx, table)
  const name = wanted.name ?? nameFor(relation, definition)
  const trigger: NewTrigger = {
    name,
    job: definition.name,
    kind: kindOf(app, definition, wanted),
    spec: wanted.spec,
    wake: wanted.wake,
  }
  await check(app, tx, relation, wanted.spec)
  if (wanted.sample) await checkSample(app, tx, relation, definition, wanted.spec, wanted.sample)
  const [before] = await readTriggers(tx, names, name)
  if (!before || !(await same(app, tx, relation, trigger, before))) await install(tx, names, relation, trigger, before)
  return triggerOf((await readTriggers(tx, names, name))[0]!)
}

/** Whether all of it is there already: then the table need not be locked. */
async function same(
  app: AppContext,
  tx: Connection,
  relation: Relation,
  trigger: NewTrigger,
  before: TriggerRow,
): Promise<boolean> {
  const { rows } = await tx.query<{ same: boolean }>(
    `select t.kind = $2::text::jsonb as same from ${app.names.of("triggers")} t where t.name = $1`,
    [trigger.name, trigger.kind],
  )
  return (
    rows[0]?.same === true &&
    before.wake === trigger.wake &&
    before.job === trigger.job &&
    before.relation === relation.quoted &&
    before.source === sourceOf(app.names, relation, trigger) &&
    before.installed.length === trigger.spec.events.length
  )
}

async function relationFor({ names }: AppContext, tx: Connection, table: string): Promise<Relation> {
  const relation = await relationOf(tx, table).catch((error: unknown) => {
    if (sqlState(error).startsWith("42") || sqlState(error).startsWith("22")) throw badTrigger(noTable(table), error)
    throw error
  })
  if (!relation) throw badTrigger(noTable(table))
  if (relation.schema === names.plain)
    throw badTrigger(`triggers.on: ${relation.quoted} is a table of Millrace, which pushes no jobs.`)
  if (relation.kind !== "r" && relation.kind !== "p")
    throw badTrigger(
      `triggers.on: ${relation.quoted} is not a table, so statements on it cannot push jobs. Name the table itself.`,
    )
  return relation
}

const noTable = (table: string): string =>
  `triggers.on: there is no table ${JSON.stringify(table)}. Name it as SQL does, with its schema: "public.users", or 'app."User"'.`

/** Made so that one table may push several jobs, and stays the same from one deployment to the next. */
function nameFor({ name }: Relation, definition: AnyDefinition): string {
  const full = `${name}_${definition.name}`.toLowerCase().replaceAll(/[^a-z0-9_]/g, "_")
  const usable = /^[a-z_]/.test(full) ? full : `_${full}`
  const hash = createHash("sha256").update(`${name} ${definition.name}`).digest("hex").slice(0, 7)
  return usable.length <= 30 && usable === `${name}_${definition.name}` ? usable : `${usable.slice(0, 22)}_${hash}`
}

/** What a push with these options sends, without the payload and the key that only rows have. */
function kindOf({ config }: AppContext, definition: AnyDefinition, { push, spec, unkeyed }: Wanted): string {
  const { uniqueKey, debounce, throttle, limitKey } = definition?.defaults ?? {}
  if ((uniqueKey ?? debounce ?? throttle) && spec.uniqueKey === undefined && !unkeyed) {
    const text = `triggers.on: the unique key of "${definition.name}" is made by code that SQL cannot run. Give it as SQL, as in { uniqueKey: "'user ' || new.id" }, or uniqueKey: null for none.`
    throw badTrigger(text)
  }
  if (limitKey !== undefined && push?.limitKey === undefined) {
    const text = `triggers.on: the limit key of "${definition.name}" is made by code that SQL cannot run. Give one for all its jobs, as in { push: { limitKey: "imports" } }.`
    throw badTrigger(text)
  }
  for (const not of ["tx", "id", "runAt", "uniqueKey", "debounce", "throttle", "wake"]) {
    if (push && not in push)
      throw failure(
        "MILLRACE_BAD_OPTION",
        `triggers.on.push.${not}: is not for jobs that a trigger pushes; leave it out.`,
      )
  }
  const bare = definition?.defaults && {
    ...definition,
    payloadSchema: undefined,
    defaults: withoutKeys(definition),
  }
  const job = preparePush(bare, push, config)(null)
  return (job as Awaited<typeof job>).kind
}

/** What is made of a payload by code: a trigger has none to give it. */
const withoutKeys = ({ defaults }: AnyDefinition): AnyDefinition["defaults"] => ({
  ...defaults,
  uniqueKey: undefined,
  debounce: undefined,
  throttle: undefined,
  limitKey: undefined,
})

async function check({ names }: AppContext, tx: Connection, relation: Relation, spec: TriggerSpec): Promise<void> {
  const { payload = [] } = spec
  const mapped =
    payload === "row"
      ? []
      : isColumns(payload)
        ? payload
        : Object.values(payload).filter((one) => typeof one === "string")
  for (const column of [...(spec.columns ?? []), ...mapped]) {
    if (!relation.columns.includes(column)) {
      const near = didYouMean(column, relation.columns) || ` It has: ${relation.columns.join(", ")}.`
      throw badTrigger(`triggers.on: ${relation.quoted} has no column ${JSON.stringify(column)}.${near}`)
    }
  }
  for (const event of spec.events) {
    const problem = await problemOf(tx, names, trialOf(relation.quoted, spec, event))
    if (problem !== undefined) throw badTrigger(refusal(event, problem))
  }
}

function refusal(event: TriggerEvent, problem: string): string {
  const rows = { insert: "new", update: "new and old", delete: "old" }[event]
  return `triggers.on: its SQL is refused for "${event}", where the row is ${rows}: ${problem}. Write a condition as in when: "${event === "delete" ? "old" : "new"}.active", functions of your own with their schema.`
}

async function checkSample(
  { config }: AppContext,
  tx: Connection,
  { quoted }: Relation,
  definition: AnyDefinition,
  { payload, events }: TriggerSpec,
  sample: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (payload === undefined)
    throw badTrigger(
      'triggers.on: a sample row needs a payload per row to be tried with, as in { payload: "row", sample: { id: 1 } }.',
    )
  const { rows } = await tx.query<{ payload: unknown }>(sampleOf(quoted, payload, events[0]!), [JSON.stringify(sample)])
  await preparePush({ ...definition, defaults: withoutKeys(definition) }, undefined, config)(rows[0]!.payload)
}

function triggerOf({ spec, relation, installed, ...row }: TriggerRow): Trigger {
  return {
    name: row.name,
    table: installed[0]?.table ?? relation,
    events: row.events,
    job: row.job,
    queue: row.queue,
    when: spec.when,
    columns: spec.columns,
    payload: spec.payload,
    uniqueKey: spec.uniqueKey,
    wake: row.wake,
    enabled: row.enabled,
    installed: installed.map(({ trigger, sql, on: active }) => ({ trigger, sql, on: active })),
    source: row.source,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  }
}

async function unknown(app: AppContext, name: string) {
  const known = (await readTriggers(app.db, app.names)).map((one) => one.name)
  const near = didYouMean(name, known) || (known.length > 0 ? ` There are: ${known.join(", ")}.` : " There are none.")
  return failure("MILLRACE_UNKNOWN_TRIGGER", `There is no trigger "${name}".${near}`)
}

import { setTimeout as sleep } from "node:timers/promises"
import { MillraceError } from "../lib/error.ts"
import type { Connection, Database } from "../model/database.ts"
import type { Migration } from "./migration.ts"
import { core } from "./migrations/0001-core.ts"
import { find } from "./migrations/0002-find.ts"
import { sqlAndLogs } from "./migrations/0003-sql-and-logs.ts"
import { leader } from "./migrations/0004-leader.ts"
import { limits } from "./migrations/0005-limits.ts"
import { failedPayloads } from "./migrations/0006-failed-payloads.ts"
import { metrics } from "./migrations/metrics-0001.ts"
import { names as namesOf, type Names } from "./sql.ts"

export const coreMigrations: readonly Migration[] = [core, find, sqlAndLogs, leader, limits, failedPayloads]

/** Tables of plugins that are built in, by the plugin's name: each a component of its own, made with the core. */
export const builtInTables: Readonly<Record<string, readonly Migration[]>> = { metrics: [metrics] }

/** The schema version that this release needs. */
export const coreVersion = coreMigrations.length

export interface MigrateOptions {
  /** Target version; default the newest, `0` removes everything. */
  to?: number
}

/**
 * Brings a component's tables to a version, one transaction per step. Any number of processes may call it at once: a
 * transaction-level advisory lock, polled, lets one at a time through (it works through poolers, and dies with its
 * connection).
 *
 * @returns the versions before and after.
 * @throws MILLRACE_BAD_VERSION for a version that this release does not know.
 */
export async function migrate(
  db: Database,
  names: Names,
  options: MigrateOptions = {},
  component = "core",
  steps: readonly Migration[] = coreMigrations,
): Promise<{ from: number; to: number }> {
  const target = options.to ?? steps.length
  if (!Number.isInteger(target) || target < 0 || target > steps.length) {
    throw new MillraceError(
      "MILLRACE_BAD_VERSION",
      `There is no version ${target} of "${component}"; known are 0 to ${steps.length}.`,
    )
  }
  let from: number | undefined
  for (;;) {
    const version = await oneStep(db, names, component, steps, target)
    if (version === undefined) {
      await sleep(50 + Math.random() * 100)
      continue
    }
    from ??= version
    if (version === target) return { from, to: target }
  }
}

/** Does one step towards the target. Returns the version found before it, or undefined when somebody else migrates. */
async function oneStep(db: Database, names: Names, component: string, steps: readonly Migration[], target: number) {
  return db.transaction(async (tx) => {
    await tx.query("set local lock_timeout = '5s'")
    const { rows } = await tx.query<{ locked: boolean }>(
      "select pg_try_advisory_xact_lock(hashtextextended($1, 7301)) as locked",
      [`millrace:${names.plain}`],
    )
    if (!rows[0]?.locked) return undefined
    const version = await currentVersion(tx, names, component)
    if (version === target) return version
    if (version > steps.length) throw tooNew(names, version, steps.length)
    if (version < target) await apply(tx, names, component, steps[version]!, "up")
    else await apply(tx, names, component, steps[version - 1]!, "down")
    return version
  })
}

async function apply(tx: Connection, names: Names, component: string, step: Migration, direction: "up" | "down") {
  if (direction === "up") {
    await tx.query(`create schema if not exists ${names.schema}`)
    for (const statement of recordSql(names)) await tx.query(statement)
  }
  for (const statement of step[direction](names)) await tx.query(statement)
  if (direction === "up") {
    await tx.query(`insert into ${names.of("migrations")} (component, version) values ($1, $2)`, [
      component,
      step.version,
    ])
  } else if (!(component === "core" && step.version === 1)) {
    await tx.query(`delete from ${names.of("migrations")} where component = $1 and version = $2`, [
      component,
      step.version,
    ])
  }
}

/** The statements of a fresh installation in this schema, as text to be read or run by hand. */
export function migrationSql(schema: string): string {
  const all = namesOf(schema)
  const statements = [
    `create schema if not exists ${all.schema}`,
    ...recordSql(all),
    ...coreMigrations.flatMap((step) => [
      ...step.up(all),
      `insert into ${all.of("migrations")} (component, version) values ('core', ${step.version})`,
    ]),
    ...Object.entries(builtInTables).flatMap(([component, steps]) =>
      steps.flatMap((step) => [
        ...step.up(all),
        `insert into ${all.of("migrations")} (component, version) values ('${component}', ${step.version})`,
      ]),
    ),
  ]
  return `begin;\n\n${statements.map((text) => `${text.trim()};\n`).join("\n")}\ncommit;\n`
}

const recordSql = (all: Names): string[] => [
  `create table if not exists ${all.of("migrations")} (
      component text not null, version integer not null, applied_at timestamptz not null default now(),
      primary key (component, version))`,
]

/** The version that the database has; 0 when Millrace was never installed in this schema. */
export async function currentVersion(db: Connection, names: Names, component = "core"): Promise<number> {
  const { rows: found } = await db.query<{ found: string | null }>("select to_regclass($1)::text as found", [
    `${names.schema}."migrations"`,
  ])
  if (!found[0]?.found) return 0
  const { rows } = await db.query<{ version: number | null }>(
    `select max(version) as version from ${names.of("migrations")} where component = $1`,
    [component],
  )
  return rows[0]?.version ?? 0
}

/**
 * Refuses to go on over a schema that is older than this release.
 *
 * @throws MILLRACE_NOT_MIGRATED with what to do.
 */
export async function requireMigrated(
  db: Connection,
  names: Names,
  component = "core",
  needed: number = coreVersion,
): Promise<void> {
  const version = await currentVersion(db, names, component)
  if (version >= needed) return
  const what = component === "core" ? `The schema "${names.plain}" is` : `The tables of the plugin "${component}" are`
  throw new MillraceError(
    "MILLRACE_NOT_MIGRATED",
    `${what} at version ${version}, this release needs ${needed}. ` +
      "Call `await app.migrate()` once before the workers start (in your deploy step or at boot), or run `millrace migrate`.",
  )
}

function tooNew(names: Names, found: number, known: number): MillraceError {
  return new MillraceError(
    "MILLRACE_BAD_VERSION",
    `The schema "${names.plain}" is at version ${found}, newer than this release of millrace knows (${known}): upgrade the package.`,
  )
}

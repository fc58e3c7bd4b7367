import type { Connection } from "../model/database.ts"
import type { Names } from "./sql.ts"

/** How the database is, as its own catalogue tells: nothing here reads a table of ours. */

/** A table of ours; the history's partitions count as one. */
export interface TableHealth {
  readonly table: string
  /** Bytes, with what is stored out of line. */
  readonly bytes: number
  readonly indexBytes: number
  /** Rows, by PostgreSQL's running estimate. */
  readonly rows: number
  /** Row versions that nobody sees any more and vacuum has not taken away. */
  readonly deadRows: number
  readonly vacuumedAt: Date | null
}

/** The session whose transaction has been open for longest: vacuum takes away nothing that it may still see. */
export interface OldestTransaction {
  readonly pid: number
  readonly application: string
  readonly state: string
  /** Seconds since it began. */
  readonly age: number
  readonly startedAt: Date
  /** When its newest statement began. */
  readonly queryStartedAt: Date | null
}

export interface DatabaseHealth {
  readonly version: string
  readonly tables: readonly TableHealth[]
  /** Of this database; sessions of other users are seen only by members of pg_read_all_stats. Null: none is open. */
  readonly oldestTransaction: OldestTransaction | null
  /** Share of the notification queue in use, 0 to 1: the whole cluster of databases stops notifying at 1. */
  readonly notificationQueue: number
  readonly connections: {
    /** Of this database, by state: active, idle, idle in transaction, … */
    readonly states: Readonly<Record<string, number>>
    /** Of all databases. */
    readonly all: number
    readonly most: number
  }
}

interface Row {
  version: string
  tables: readonly (Omit<TableHealth, "vacuumedAt"> & { vacuumedAt: string | null })[] | null
  oldest: { pid: number; application: string; state: string; age: number; started: string; query: string | null } | null
  queue: number
  states: Record<string, number> | null
  total: number
  most: number
}

const text = `select current_setting('server_version') as version,
  (select json_agg(t order by t."table") from (
    select regexp_replace(c.relname, '_(p[0-9]{8}|forever)$', '') as "table", sum(pg_table_size(c.oid))::bigint as bytes,
      sum(pg_indexes_size(c.oid))::bigint as "indexBytes", sum(s.n_live_tup)::bigint as rows, sum(s.n_dead_tup)::bigint as "deadRows",
      max(greatest(s.last_vacuum, s.last_autovacuum)) as "vacuumedAt"
    from pg_class c join pg_stat_all_tables s on s.relid = c.oid
    where c.relnamespace = to_regnamespace(quote_ident($1)) and c.relkind = 'r' group by 1) t) as tables,
  (select row_to_json(a) from (
    select pid, application_name as application, coalesce(state, 'unknown') as state, xact_start as started,
      query_start as query, extract(epoch from clock_timestamp() - xact_start)::float8 as age
    from pg_stat_activity
    where datname = current_database() and xact_start is not null and pid <> pg_backend_pid() and backend_type = 'client backend'
    order by xact_start limit 1) a) as oldest,
  pg_notification_queue_usage() as queue,
  (select json_object_agg(a.state, a.count) from (
    select coalesce(state, 'unknown') as state, count(*) from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' group by 1) a) as states,
  (select count(*) from pg_stat_activity where backend_type = 'client backend') as total,
  current_setting('max_connections')::integer as most`

export async function databaseHealth(db: Connection, names: Names): Promise<DatabaseHealth> {
  const { rows } = await db.query<Row>(text, [names.plain])
  const { version, tables, oldest, queue, states, total, most } = rows[0]!
  return {
    version,
    tables: (tables ?? []).map((table) => ({
      ...table,
      vacuumedAt: table.vacuumedAt ? new Date(table.vacuumedAt) : null,
    })),
    oldestTransaction: oldest && {
      pid: oldest.pid,
      application: oldest.application,
      state: oldest.state,
      age: oldest.age,
      startedAt: new Date(oldest.started),
      queryStartedAt: oldest.query ? new Date(oldest.query) : null,
    },
    notificationQueue: queue,
    connections: { states: states ?? {}, all: total, most },
  }
}

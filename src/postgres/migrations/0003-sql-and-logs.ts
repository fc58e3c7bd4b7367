import type { Migration } from "../migration.ts"
import type { Names } from "../sql.ts"
import { logFunctions, logTables } from "./0003-logs.ts"
import { sqlFunctions, sqlTables } from "./0003-sql.ts"

/** What handlers write about their jobs, what workers announce about job names, and pushing from SQL. */
export const sqlAndLogs: Migration = {
  version: 2,
  up: (names) => [...logTables(names), ...sqlTables(names), ...logFunctions(names), ...sqlFunctions(names)],
  down: ({ schema: s }: Names) => [
    ...dropped.map((name) => `drop function ${s}.${name}`),
    ...["job_log_chunks", "job_logs", "definitions"].map((name) => `drop table ${s}.${name}`),
    `grant execute on all routines in schema ${s} to public`,
  ],
}

const dropped = [
  ...["push", "push_many", "cancel", "grant_producer", "revoke_producer", "push_sql_1", "make_partition_1", "uuids_1"],
  ...["kind_1", "option_1", "unique_key_1", "backoff_1", "kept_seconds_1", "moment_1", "duration_ms_1", "whole_1"],
  ...["refuse_1", "clean_logs_1", "log_1"],
]

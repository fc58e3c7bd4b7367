import type { Migration } from "../migration.ts"
import type { Names } from "../sql.ts"
import { logFunctions, logTables } from "./0003-logs.ts"

/** What handlers write about their jobs, what workers announce about job names, and pushing from SQL. */
export const sqlAndLogs: Migration = {
  version: 2,
  up: (names) => [...logTables(names), ...logFunctions(names)],
  down: ({ schema: s }: Names) => [
    `drop function ${s}.clean_logs_1(integer)`,
    `drop function ${s}.log_1(text, uuid[], uuid[], json)`,
    `drop table ${s}.job_log_chunks`,
    `drop table ${s}.job_logs`,
  ],
}

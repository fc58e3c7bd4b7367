import type { Migration } from "../migration.ts"

/**
 * Failed jobs are found by any value in their payloads, without declaring its path. Only failed jobs are in the index, so
 * jobs that succeed pay nothing; see docs/design/find.md for what a failed one pays.
 */
export const failedPayloads: Migration = {
  version: 6,
  up: ({ schema: s }) => [
    `create index jobs_history_failed_payload on ${s}.jobs_history using gin (payload jsonb_path_ops) where state = 'failed'`,
  ],
  down: ({ schema: s }) => [`drop index ${s}.jobs_history_failed_payload`],
}

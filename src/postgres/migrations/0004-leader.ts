import type { Migration } from "../migration.ts"

/** Who leads: one row. */
export const leader: Migration = {
  version: 4,
  up: ({ schema: s }) => [
    `create table ${s}.leader (
  name       text primary key,
  -- A new one at every election. A key, so that a takeover waits for those who hold FOR KEY SHARE, and a renewal does not.
  term       uuid not null unique,
  worker     text not null,                          -- id of the worker, for people
  elected_at timestamptz not null,
  expires_at timestamptz not null
)`,
  ],
  down: ({ schema: s }) => [`drop table ${s}.leader`],
}

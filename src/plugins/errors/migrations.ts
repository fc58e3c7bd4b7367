import type { PluginMigration } from "../../model/plugin.ts"

/** A row per error, and what it is counted by. Everything goes with its group. */
export const migrations: readonly PluginMigration[] = [
  {
    version: 1,
    up: ({ of }) => [
      `create table ${of("error_groups")} (
        fingerprint text primary key,
        state       text not null default 'open' check (state in ('open', 'resolved', 'ignored')),
        name        text not null,                       -- the error's class
        code        text,
        pattern     text not null,                       -- the message without what varies
        message     text not null,                       -- the newest, as it was
        frames      jsonb not null,
        stack       text,                                -- the newest
        count       bigint not null,
        first_seen  timestamptz not null default now(),
        last_seen   timestamptz not null default now(),
        resolved_at timestamptz,
        reopened_at timestamptz,
        samples     jsonb not null                       -- the newest jobs: [{ id, attempt, at }]
      ) with (fillfactor = 70)`,
      `create index error_groups_seen on ${of("error_groups")} (state, last_seen desc, fingerprint desc)`,
      `create table ${of("error_group_jobs")} (
        fingerprint text not null references ${of("error_groups")} on delete cascade,
        name        text not null,
        queue       text not null,
        count       bigint not null,
        last_seen   timestamptz not null default now(),
        primary key (fingerprint, name, queue)
      ) with (fillfactor = 70)`,
      `create table ${of("error_group_hours")} (
        fingerprint text not null references ${of("error_groups")} on delete cascade,
        hour        timestamptz not null,
        count       bigint not null,
        primary key (fingerprint, hour)
      ) with (fillfactor = 70)`,
      `create index error_group_hours_hour on ${of("error_group_hours")} (hour)`,
    ],
    down: ({ of }) =>
      ["error_group_hours", "error_group_jobs", "error_groups"].map((table) => `drop table ${of(table)}`),
  },
]

export const tables = ["error_groups", "error_group_jobs", "error_group_hours"] as const

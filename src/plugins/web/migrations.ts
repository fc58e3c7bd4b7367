import type { PluginMigration } from "../../model/plugin.ts"

export const webTables = [
  "web_keys",
  "web_marks",
  "web_kept",
  "web_operations",
  "web_views",
  "web_audit",
  "web_tokens",
  "web_sessions",
] as const

/** Tables of the plugin. Their migrations carry the component "web", so that workers without it never see them. */
export const webMigrations: readonly PluginMigration[] = [
  {
    version: 1,
    up: (names) => [
      `create table ${names.of("web_sessions")} (
  hash       bytea primary key,                      -- of the cookie's value, which is nowhere else
  name       text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
)`,
      `create table ${names.of("web_tokens")} (
  id         uuid primary key,
  name       text not null,
  hash       bytea not null unique,                  -- of the secret, which is shown once
  scopes     text[] not null,
  queues     text[],                                 -- globs; null: all
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  used_at    timestamptz,
  revoked_at timestamptz
)`,
      `create table ${names.of("web_audit")} (
  id         uuid primary key,                       -- UUIDv7: the order of events
  at         timestamptz not null default now(),
  visitor    text not null,
  action     text not null,
  target     text,
  status     integer,                                -- null: begun, and nobody knows how it ended
  before     jsonb,
  after      jsonb
)`,
      `create index web_audit_target on ${names.of("web_audit")} (target, id)`,
      `create index web_audit_visitor on ${names.of("web_audit")} (visitor, id)`,
      `create table ${names.of("web_views")} (
  id         uuid primary key,
  name       text not null,
  query      text not null,
  settings   jsonb not null default '{}',
  shared     boolean not null default true,
  created_by text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
)`,
      `create table ${names.of("web_operations")} (
  id          uuid primary key,
  action      text not null,
  input       jsonb not null,
  undoes      uuid,
  created_by  text not null,
  state       text not null default 'running',
  total       integer not null,
  total_exact boolean not null,
  matched     integer not null default 0,
  changed     integer not null default 0,
  refused     integer not null default 0,
  refusals    jsonb not null default '[]',
  error       text,
  stop        boolean not null default false,
  kept        integer not null default 0,            -- rows that an undo can bring back
  undone_by   uuid,
  created_at  timestamptz not null default now(),
  touched_at  timestamptz not null default now(),
  finished_at timestamptz
)`,
      // What jobs were before, for the undo: old values, or the whole rows of deleted ones.
      `create table ${names.of("web_kept")} (
  operation uuid not null references ${names.of("web_operations")} on delete cascade,
  job       uuid not null,
  source    text not null,
  row       jsonb not null,
  log       jsonb,                                   -- of deleted jobs: its row of job_logs,
  log_chunks jsonb,                                  -- those of job_log_chunks,
  held_key  text,                                    -- and the key of unique_keys that it held
  primary key (operation, job)
)`,
      `create table ${names.of("web_marks")} (
  id         uuid primary key,
  at         timestamptz not null,
  text       text not null,
  created_by text not null
)`,
      `create index web_marks_at on ${names.of("web_marks")} (at)`,
      // Answers of writes that came with an Idempotency-Key.
      `create table ${names.of("web_keys")} (
  visitor text not null,
  route   text not null,                             -- method and address
  key     text not null,
  body    bytea not null,                            -- hash of it
  status  integer,                                   -- null: under way, or its process has gone
  headers jsonb,
  answer  bytea,
  at      timestamptz not null default now(),
  primary key (visitor, route, key)
)`,
      `create index web_keys_at on ${names.of("web_keys")} (at)`,
    ],
    down: (names) => webTables.map((table) => `drop table ${names.of(table)}`),
  },
]

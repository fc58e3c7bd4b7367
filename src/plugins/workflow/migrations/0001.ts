import type { PluginMigration, PluginNames } from "../../../model/plugin.ts"
import { endedFunctions } from "./0001-ended.ts"
import { operations } from "./0001-operations.ts"
import { releaseFunctions } from "./0001-release.ts"
import { runFunctions } from "./0001-run.ts"
import { startFunctions } from "./0001-start.ts"
import { values } from "./0001-values.ts"

/*
 * Workflows: one row each, and one per step. What a step has come to stands here, not in its job's row, which may be
 * pruned, deleted or lost. The design is docs/design/workflows.md.
 */
export const initial: PluginMigration = {
  version: 1,
  up: (names) => [
    ...tables(names),
    ...values(names),
    ...releaseFunctions(names),
    ...runFunctions(names),
    ...startFunctions(names),
    ...operations(names),
    ...endedFunctions(names),
    ...privileges(names),
  ],
  down: ({ schema: s }) => [
    `drop trigger if exists workflow_ended on ${s}.jobs_history`,
    `do $$ declare f regprocedure; begin
       for f in select p.oid from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
         where pg_catalog.quote_ident(n.nspname) in ('${s.replaceAll('"', "")}', '${s}') and p.proname ~ '^workflow_[a-z_]+_1$'
       loop execute 'drop function ' || f; end loop; end $$`,
    `drop table ${s}.workflow_signals`,
    `drop table ${s}.workflow_steps`,
    `drop table ${s}.workflows`,
    `drop sequence ${s}.workflow_step_ids`,
  ],
}

const tables = ({ schema: s }: PluginNames): string[] => [
  `create table ${s}.workflows (
  id          uuid primary key,                      -- UUIDv7, made by the client: a push sent twice is one push
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  finished_at timestamptz,
  keep_until  timestamptz,                           -- once it has finished
  keep_s      integer not null,                      -- seconds to keep after finishing; -1 for ever
  steps       integer not null,                      -- without the items of maps
  unfinished  integer not null,                      -- last steps (nobody waits for them) that have not ended
  retries     integer not null default 0,
  paused      boolean not null default false,
  compensate  boolean not null default false,        -- what was done is undone before it ends
  state       text not null,
  undone      text,                                  -- after compensation: all, or some
  name        text not null,
  input       jsonb,
  output      jsonb,                                 -- template of the result, filled when somebody reads it
  failure     jsonb,                                 -- { step, error } of the first step that failed it
  cancel      jsonb,                                 -- { reason, at }
  constraint workflows_state check
    (state in ('running', 'failing', 'cancelling', 'compensating', 'succeeded', 'failed', 'cancelled')),
  constraint workflows_finished check
    ((finished_at is not null) = (state in ('succeeded', 'failed', 'cancelled')))
) with (fillfactor = 70)`,
  `create index workflows_name on ${s}.workflows (name, id)`,
  `create index workflows_unfinished on ${s}.workflows (state, id)
  where state in ('running', 'failing', 'cancelling', 'compensating')`,
  `create index workflows_expiry on ${s}.workflows (keep_until) where keep_until is not null`,
  `create sequence ${s}.workflow_step_ids`,
  `create table ${s}.workflow_steps (
  id          bigint primary key,                    -- what the job of the step points to
  workflow_id uuid not null,
  map_id      bigint,                                -- of an item: the map's row
  job_id      uuid,                                  -- of the present run
  undo_job    uuid,
  released_at timestamptz,
  started_at  timestamptz,                           -- of the last attempt
  finished_at timestamptz,
  wake_at     timestamptz,                           -- when a timer fires, or a wait for a signal is over
  step        integer not null,                      -- its number in the workflow
  item        integer not null default -1,
  waits       integer not null default 0,            -- dependencies that have not ended
  skips       integer not null default 0,            -- those that ended without what this step needs
  attempts    integer not null default 0,
  total       integer,                               -- of a map: items,
  remaining   integer,                               -- items not released,
  running     integer,                               -- items released and not ended,
  bad         integer,                               -- items that failed
  next_item   integer,                               -- where the items not released begin
  grafted_by  bigint,                                -- the step that added this one while it ran
  simple      boolean not null default false,        -- a job without a condition: released in bulk
  undoable    boolean not null default false,
  kind        text not null,
  state       text not null default 'waiting',
  on_failure  text not null,
  key         text not null,
  undo_state  text,
  children    bigint[] not null default '{}',        -- steps that need this one's success
  loose       bigint[] not null default '{}',        -- steps that wait for its end, whatever it is
  plan        jsonb,                                 -- how to make its payload, its job, its condition
  input       jsonb,                                 -- of an item: the item
  result      jsonb,
  errors      jsonb,
  undo_errors jsonb,
  runs        jsonb,                                 -- earlier runs, before retries
  constraint workflow_steps_state check
    (state in ('waiting', 'active', 'succeeded', 'failed', 'cancelled', 'skipped'))
) with (fillfactor = 40)`,
  `create unique index workflow_steps_place on ${s}.workflow_steps (workflow_id, step, item)`,
  `create index workflow_steps_wake on ${s}.workflow_steps (wake_at) where wake_at is not null`,
  `create table ${s}.workflow_signals (
  id          bigint generated always as identity primary key,
  workflow_id uuid not null,
  name        text not null,
  payload     jsonb,
  at          timestamptz not null default now()
)`,
  `create index workflow_signals_for on ${s}.workflow_signals (workflow_id, name, id)`,
]

/** Nobody but the owner may call these, unless it is granted. */
const privileges = ({ schema: s }: PluginNames): string[] => [
  `do $$ declare f regprocedure; begin
     for f in select p.oid from pg_catalog.pg_proc p
       where p.pronamespace = '${s}'::regnamespace and p.proname ~ '^workflow_[a-z_]+_1$'
     loop execute 'revoke all on function ' || f || ' from public'; end loop; end $$`,
]

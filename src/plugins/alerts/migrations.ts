import type { PluginMigration } from "../../model/plugin.ts"

/** What is, or was, wrong; and what the rules look at that stands nowhere else. */
export const migrations: readonly PluginMigration[] = [
  {
    version: 1,
    up: ({ of }) => [
      `create table ${of("alert_events")} (
        id              uuid primary key default gen_random_uuid(),
        rule            text not null,
        subject         text not null,                     -- a queue, a schedule, a plugin
        severity        text not null,
        state           text not null default 'pending' check (state in ('pending', 'firing', 'resolved')),
        value           float8,
        text            text not null,
        began_at        timestamptz not null default now(),
        fired_at        timestamptz,
        resolved_at     timestamptz,
        notified_at     timestamptz,                       -- the last time that channels were told that it fires
        acknowledged_at timestamptz,
        acknowledged_by text,
        note            text
      )`,
      // One event per problem at a time, whoever leads.
      `create unique index alert_events_active on ${of("alert_events")} (rule, subject) where state <> 'resolved'`,
      `create index alert_events_began on ${of("alert_events")} (began_at desc, id desc)`,
      `create table ${of("alert_rules")} (
        name           text primary key,
        silenced_until timestamptz,
        silenced_by    text,
        error          text                                -- why it could not be looked at, the last time
      )`,
      `create table ${of("alert_counts")} (
        minute    timestamptz not null,
        queue     text not null,
        name      text not null,
        succeeded bigint not null,
        failed    bigint not null,
        retrying  bigint not null,
        primary key (minute, queue, name)
      ) with (fillfactor = 70)`,
      `create table ${of("alert_signals")} (
        worker  text not null,
        plugin  text not null,
        error   text not null,
        seen_at timestamptz not null default now(),
        primary key (worker, plugin)
      )`,
    ],
    down: ({ of }) => tables.toReversed().map((table) => `drop table ${of(table)}`),
  },
]

export const tables = ["alert_events", "alert_rules", "alert_counts", "alert_signals"] as const

import type { Connection } from "../../model/database.ts"
import type { ErrorRecord } from "../../model/errors.ts"
import { fingerprintOf } from "../../model/fingerprint.ts"
import type { PluginNames } from "../../model/plugin.ts"

/** One failed attempt. */
export interface Failure {
  readonly id: string
  readonly name: string
  readonly queue: string
  readonly error: ErrorRecord
}

/** A group that was made, or opened again, by what was recorded. */
export interface News {
  readonly fingerprint: string
  readonly kind: "new" | "reopened"
  readonly name: string
  readonly message: string
  /** The newest job. */
  readonly job: string
}

interface Group {
  readonly fingerprint: string
  readonly name: string
  readonly code: string | undefined
  readonly pattern: string
  readonly message: string
  readonly frames: readonly string[]
  readonly stack: string | undefined
  count: number
  readonly samples: { readonly id: string; readonly attempt: number }[]
  readonly jobs: { readonly name: string; readonly queue: string; count: number }[]
}

/** Failures by their errors, the newest of each first among its samples. */
function grouped(failures: readonly Failure[], samples: number): Group[] {
  const groups = new Map<string, Group>()
  for (const { id, name, queue, error } of failures.toReversed()) {
    const { fingerprint, pattern, frames } = fingerprintOf(error)
    const { code, message, stack, attempt } = error
    const group = groups.get(fingerprint) ?? {
      ...{ fingerprint, name: error.name, code, pattern, message, frames, stack },
      ...{ count: 0, samples: [], jobs: [] },
    }
    groups.set(fingerprint, group)
    group.count += 1
    if (group.samples.length < samples) group.samples.push({ id, attempt })
    const job = group.jobs.find((one) => one.name === name && one.queue === queue)
    if (job) job.count += 1
    else group.jobs.push({ name, queue, count: 1 })
  }
  return [...groups.values()]
}

/**
 * Adds failures to their groups, one statement for all. Rows of groups are locked in the order of their fingerprints, and
 * the rows below them only by who holds the group's: two workers that record the same errors never wait in a circle.
 */
export async function record(
  tx: Connection,
  names: PluginNames,
  failures: readonly Failure[],
  samples: number,
): Promise<News[]> {
  const groups = grouped(failures, samples)
  const { rows } = await tx.query<{ fingerprint: string; kind: News["kind"] | null }>(recordSql(names), [
    JSON.stringify(groups),
    samples,
  ])
  return rows.flatMap(({ fingerprint, kind }) => {
    const group = groups.find((one) => one.fingerprint === fingerprint)
    if (!group || kind === null) return []
    return { fingerprint, kind, name: group.name, message: group.message, job: group.samples[0]!.id }
  })
}

const recordSql = ({ of }: PluginNames): string => `
with given as materialized (
  select * from jsonb_to_recordset($1::text::jsonb) as g(fingerprint text, name text, code text, pattern text, message text,
    frames jsonb, stack text, count bigint, samples jsonb, jobs jsonb)),
upserted as (
  insert into ${of("error_groups")} as g (fingerprint, name, code, pattern, message, frames, stack, count, samples)
  select n.fingerprint, n.name, n.code, n.pattern, n.message, n.frames, n.stack, n.count,
    (select jsonb_agg(s || jsonb_build_object('at', now())) from jsonb_array_elements(n.samples) s)
  from given n order by n.fingerprint
  on conflict (fingerprint) do update set
    count = g.count + excluded.count,
    message = excluded.message,
    stack = excluded.stack,
    last_seen = greatest(g.last_seen, now()),
    state = case g.state when 'resolved' then 'open' else g.state end,
    reopened_at = case g.state when 'resolved' then now() else g.reopened_at end,
    samples = (select jsonb_agg(s.one order by s.place) from jsonb_array_elements(excluded.samples || g.samples)
      with ordinality as s(one, place) where s.place <= $2)
  returning fingerprint, case when xmax = 0 then 'new' when state = 'open' and reopened_at = now() then 'reopened' end as kind),
jobs as (
  insert into ${of("error_group_jobs")} as j (fingerprint, name, queue, count)
  select u.fingerprint, j.name, j.queue, j.count from upserted u join given n using (fingerprint),
    jsonb_to_recordset(n.jobs) as j(name text, queue text, count bigint)
  on conflict (fingerprint, name, queue) do update set count = j.count + excluded.count, last_seen = greatest(j.last_seen, now())),
hours as (
  insert into ${of("error_group_hours")} as h (fingerprint, hour, count)
  select u.fingerprint, date_trunc('hour', now(), 'UTC'), n.count from upserted u join given n using (fingerprint)
  on conflict (fingerprint, hour) do update set count = h.count + excluded.count)
select fingerprint, kind from upserted`

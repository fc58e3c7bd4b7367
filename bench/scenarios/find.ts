// How long does the first page of a search take over a million waiting and five million finished jobs?
import { median, percentile, type Figures } from "../figures.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { onStage, type Stage } from "../stage.ts"

const WAITING = 1_000_000
const FINISHED_PER_WAITING = 5
const TIMES = 20

export const find: Scenario = {
  summary: "p95 of the first page of app.find over 1,000,000 waiting and 5,000,000 finished jobs, by filter, in ms",
  peers: false,
  rounds: 1,
  measure,
}

async function measure({ server, side, options, say }: Run): Promise<Measurement> {
  const waiting = options.jobs ?? WAITING
  const { searches } = await import("../find-times.ts") // drives millrace in this process
  return onStage(server, side, async (stage) => {
    await fill(stage, waiting, waiting * FINISHED_PER_WAITING, say)
    const figures: Record<string, Figures> = { p95Ms: {}, p50Ms: {} }
    for (const [name, run] of await searches(stage.url)) {
      const times: number[] = []
      for (let time = 0; time < TIMES; time++) {
        const start = performance.now()
        await run()
        times.push(performance.now() - start)
      }
      const [p50, p95] = [median(times), percentile(times, 0.95)]
      figures.p50Ms![name] = p50
      figures.p95Ms![name] = p95
      say(`${name.padEnd(24)} p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms`)
    }
    return {
      figures: { waiting, finished: waiting * FINISHED_PER_WAITING, ...figures },
      versions: stage.versions,
      foreignLoad: null,
    }
  })
}

/** Rows as months of work would leave them: a few common values of everything, and some that are rare. */
export async function fill({ db }: Stage, waiting: number, finished: number, say: Run["say"]): Promise<void> {
  say(`filling in ${waiting} waiting and ${finished} finished jobs`)
  await db.query("set synchronous_commit = off")
  // An id as a client would have made it at that moment.
  await db.query(`create function pg_temp.id_at(at timestamptz) returns uuid language sql volatile as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8'
      || substr(md5(random()::text), 1, 15))::uuid $$`)
  const chunk = 250_000
  for (let from = 0; from < finished; from += chunk) {
    await db.query(history, [from, Math.min(from + chunk, finished) - 1, finished])
  }
  for (let from = 0; from < waiting; from += chunk) {
    await db.query(backlog, [from, Math.min(from + chunk, waiting) - 1])
  }
  await db.query("vacuum analyze millrace.jobs")
  await db.query("vacuum analyze millrace.jobs_history")
}

const history = `insert into millrace.jobs_history (id, created_at, run_at, finished_at, keep_until, claims, state, rank,
    attempts, crashes, max_attempts, keep_s, keep_failed_s, name, queue, payload, token, started_at, worker, unique_key, errors, tags)
  select pg_temp.id_at(at), at, at, at + interval '1 second', 'infinity', 1,
    (case when n % 200 = 0 then 'failed' when n % 1000 = 1 then 'cancelled' else 'succeeded' end)::millrace.job_state,
    0, 1, 0, 5, -1, -1, case when n % ($3::integer / 10) = 7 then 'rare-name' when n % 5000 = 11 then 'seldom-name' else 'name-' || n % 20 end,
    case when n % ($3::integer / 10) = 8 then 'rare-queue' else 'queue-' || n % 8 end,
    jsonb_build_object('customer', jsonb_build_object('id', n % 100000)), gen_random_uuid(), at,
    case when n % ($3::integer / 3) = 9 then 'rare-worker' else 'worker-' || (n / 50000) % 12 end,
    case when n % 10 = 3 then 'g|key-' || n end,
    case when n % 200 = 0 then jsonb_build_array(jsonb_build_object('message', 'card ' || n || ' was refused')) end,
    case when n % 20 = 5 then array['tag-' || n % 7, 'customer-' || n] end
  from generate_series($1::integer, $2::integer) n,
    lateral (select now() - interval '1 hour' - ($3::integer - n) * interval '500 milliseconds' as at) t`

const backlog = `insert into millrace.jobs (id, created_at, state, name, queue, payload, unique_key, tags, run_at)
  select pg_temp.id_at(now()), now(), (case when n % 4 = 0 then 'scheduled' else 'pending' end)::millrace.job_state,
    case when n % 100000 = 7 then 'rare-waiting' else 'name-' || n % 20 end, 'queue-' || n % 8,
    jsonb_build_object('customer', jsonb_build_object('id', n % 100000)),
    case when n % 10 = 3 then 'q|queue-' || n % 8 || '|waiting-' || n end,
    case when n % 20 = 5 then array['waiting-' || n] end, now() + interval '1 day'
  from generate_series($1::integer, $2::integer) n`

// The database's own account of every move, written by triggers in the transaction that made the move. It is read, with
// all there is to read, when a round is over. What the processes noted is compared with it.
import type pg from "pg"

/** A change of a job that matters: its state, its claim, or what is counted. */
export interface Move {
  readonly seq: number
  /** ms of the database's clock. */
  readonly at: number
  readonly xid: string
  readonly id: string
  /** `jobs`: a row of the living was inserted, changed or deleted; `history`: one was inserted there. */
  readonly op: "insert" | "update" | "delete" | "history"
  readonly was: string | null
  readonly now: string | null
  readonly claims: number
  readonly attempts: number
  readonly crashes: number
  readonly attempts0: number
  readonly crashes0: number
  readonly claims0: number
  /** The claim before, and after. */
  readonly token0: string | null
  readonly token: string | null
  /** Incarnation that held it before, or that holds it after. */
  readonly worker: string | null
  readonly key: string | null
  readonly mark: string | null
  readonly name: string
  readonly rank: number
  /** Since when it may be claimed, ms of the database's clock. */
  readonly due: number
}

export interface LeaseMove {
  readonly seq: number
  readonly at: number
  readonly incarnation: string
  readonly id: string
  /** The transaction's own time, which the statement compared with. */
  readonly stamp: number
  readonly before: number | null
  /** Null: the row went. */
  readonly after: number | null
}

export interface Final {
  readonly id: string
  readonly name: string
  readonly state: string
  readonly claims: number
  readonly attempts: number
  readonly crashes: number
  readonly max_attempts: number
  readonly result: { readonly claims?: number } | null
  readonly snoozed: number
  readonly asked: boolean
  readonly mark: string | null
  readonly error: string | null
}

export interface Effect {
  readonly job: string
  readonly claims: number
}

export interface Ledger {
  readonly moves: readonly Move[]
  readonly leases: readonly LeaseMove[]
  readonly finals: readonly Final[]
  readonly left: readonly { readonly id: string; readonly state: string; readonly name: string; readonly mark: string | null }[] // prettier-ignore
  readonly effects: readonly Effect[]
  readonly saves: readonly (Effect & { readonly state: string })[]
  readonly ticks: readonly { readonly n: number; readonly term: string; readonly worker: string }[]
}

const columns = `seq bigint generated always as identity, at float8 not null default extract(epoch from clock_timestamp()) * 1000`

export const ledgerSql = (schema: string): string => `
create schema faults;
create table faults.effects (job uuid not null, claims integer not null);
create table faults.saves (job uuid not null, claims integer not null, state text not null);
create table faults.ticks (n bigint generated always as identity, term text not null, worker text not null);
create table faults.moves (${columns}, xid text not null default pg_current_xact_id()::text, id uuid not null, op text not null,
  was text, now text, claims integer, attempts integer, crashes integer, claims0 integer, attempts0 integer, crashes0 integer,
  token0 text, token text, worker text, key text, mark text, name text, rank integer, due float8);
create table faults.leases (${columns}, stamp float8 not null default extract(epoch from now()) * 1000, incarnation uuid not null,
  id text not null, before float8, after float8);

create function faults.moved() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into faults.moves (id, op, now, claims, attempts, crashes, token, key, mark, name, rank, due)
    values (new.id, 'insert', new.state::text, new.claims, new.attempts, new.crashes, new.token, new.unique_key,
      new.payload->>'mark', new.name, new.rank, extract(epoch from greatest(new.run_at, new.ready_at)) * 1000);
  elsif tg_op = 'DELETE' then
    insert into faults.moves (id, op, was, claims0, attempts0, crashes0, token0, worker, key, name)
    values (old.id, 'delete', old.state::text, old.claims, old.attempts, old.crashes, old.token, old.worker, old.unique_key, old.name);
  elsif (old.state, old.claims, old.attempts, old.crashes) is distinct from (new.state, new.claims, new.attempts, new.crashes)
      or old.token is distinct from new.token or old.unique_key is distinct from new.unique_key then
    insert into faults.moves (id, op, was, now, claims, attempts, crashes, claims0, attempts0, crashes0, token0, token, worker,
      key, name, rank, due)
    values (new.id, 'update', old.state::text, new.state::text, new.claims, new.attempts, new.crashes, old.claims,
      old.attempts, old.crashes, old.token, new.token, coalesce(new.worker, old.worker), new.unique_key, new.name, new.rank,
      extract(epoch from greatest(new.run_at, new.ready_at)) * 1000);
  end if;
  return null;
end $$;
create trigger moved after insert or update or delete on ${schema}.jobs for each row execute function faults.moved();

create function faults.ended() returns trigger language plpgsql as $$
begin
  insert into faults.moves (id, op, now, claims, attempts, crashes, token, worker, name)
  values (new.id, 'history', new.state::text, new.claims, new.attempts, new.crashes, new.token, new.worker, new.name);
  return null;
end $$;
create trigger ended after insert on ${schema}.jobs_history for each row execute function faults.ended();

-- '-infinity' (dead for good) becomes a finite number; null, no row, stays null.
create function faults.ms(at timestamptz) returns float8 language sql as
  $$ select extract(epoch from case when at < '2000-01-01' then '2000-01-01' else at end) * 1000 $$;
create function faults.leased() returns trigger language plpgsql as $$
begin
  insert into faults.leases (incarnation, id, before, after)
  values (coalesce(new.incarnation, old.incarnation), coalesce(new.id, old.id),
    faults.ms(old.expires_at), faults.ms(new.expires_at));
  return null;
end $$;
create trigger leased after insert or update of expires_at or delete on ${schema}.workers
  for each row execute function faults.leased();
`

async function rows<T>(db: pg.Client, text: string): Promise<T[]> {
  const found = await db.query<T & pg.QueryResultRow>(text)
  return found.rows
}

export async function readLedger(db: pg.Client, schema: string): Promise<Ledger> {
  return {
    moves: await rows(db, "select *, seq::int from faults.moves order by moves.seq"),
    leases: await rows(db, "select *, seq::int from faults.leases order by leases.seq"),
    finals: await rows(
      db,
      `select id, name, state::text, claims::int, attempts, crashes, max_attempts, result, coalesce((meta->>'snoozed')::int, 0) as snoozed,
         cancel is not null as asked, payload->>'mark' as mark, errors->-1->>'code' as error from ${schema}.jobs_history`,
    ),
    left: await rows(db, `select id, state::text, name, payload->>'mark' as mark from ${schema}.jobs`),
    effects: await rows(db, "select job, claims from faults.effects"),
    saves: await rows(db, "select job, claims, state from faults.saves"),
    ticks: await rows(db, "select n::int, term, worker from faults.ticks order by ticks.n"),
  }
}

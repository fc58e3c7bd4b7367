import type { Names } from "../sql.ts"

/*
 * What SQL producers may say about a job, read by the same rules as `defineJob` and `push` in TypeScript: same words in
 * snake_case, same ranges, same durations. The result is a kind, as push_1 takes it.
 *
 * Every mistake is SQLSTATE 22023 with what was expected, so that a producer in any language can tell it from trouble.
 */

export const optionFunctions = (names: Names): string[] =>
  [refuse, whole, durationMs, moment, keptSeconds, backoff, uniqueKey, option, kind].map((make) => make(names))

const plain = "set search_path = pg_catalog, pg_temp"

/** Raises; a function, so that it can stand where a value is expected. */
function refuse({ schema: s }: Names): string {
  return `create function ${s}.refuse_1(p_what text, p_expected text, p_given jsonb, p_hint text default null)
returns text language plpgsql ${plain} as $$
begin
  raise exception using errcode = '22023',
    message = format('%s: expected %s, not %s', p_what, p_expected, coalesce(left(p_given::text, 200), 'null')),
    hint = coalesce(p_hint, '');
end
$$`
}

function whole({ schema: s }: Names): string {
  return `create function ${s}.whole_1(p_what text, p_value jsonb, p_min integer, p_max integer)
returns integer language plpgsql ${plain} as $$
begin
  if jsonb_typeof(p_value) = 'number' and (p_value #>> '{}')::numeric between p_min and p_max
    and (p_value #>> '{}')::numeric % 1 = 0 then
    return (p_value #>> '{}')::numeric::integer;
  end if;
  perform ${s}.refuse_1(p_what, format('a whole number from %s to %s', p_min, p_max), p_value);
end
$$`
}

/** Milliseconds of a number (of them), of text such as "1h30m", or of text that is an interval. */
function durationMs({ schema: s }: Names): string {
  return `create function ${s}.duration_ms_1(p_what text, p_value jsonb, p_min float8 default 0, p_max float8 default 3155760000000)
returns float8 language plpgsql stable ${plain} as $$
declare
  v_text text := p_value #>> '{}';
  v_ms float8;
begin
  if jsonb_typeof(p_value) = 'number' then
    v_ms := v_text::float8;
  elsif jsonb_typeof(p_value) = 'string' and v_text ~ '^(\\d+(\\.\\d+)?(ms|[smhdw]))+$' and length(v_text) <= 100 then
    select sum(part[1]::float8 * case part[2] when 'ms' then 1 when 's' then 1000 when 'm' then 60000
      when 'h' then 3600000 when 'd' then 86400000 else 604800000 end)
    into v_ms from regexp_matches(v_text, '(\\d+(?:\\.\\d+)?)(ms|[smhdw])', 'g') as part;
  elsif jsonb_typeof(p_value) = 'string' and v_text ~ '[[:alpha:]:]' then
    begin
      v_ms := extract(epoch from v_text::interval) * 1000;
    exception when others then
      v_ms := null;
    end;
  end if;
  if v_ms > 0 then v_ms := greatest(1, round(v_ms)); end if;
  if v_ms between p_min and p_max then return v_ms; end if;
  perform ${s}.refuse_1(p_what,
    format('a duration such as "90s", "10m", "1h30m", an interval, or a number of milliseconds, from %s to %s ms', p_min, p_max), p_value);
end
$$`
}

/** { at } or { in_ms }, of a timestamp or text such as "in 10m". */
function moment({ schema: s }: Names): string {
  return `create function ${s}.moment_1(p_what text, p_value jsonb) returns jsonb language plpgsql stable ${plain} as $$
declare
  v_text text := p_value #>> '{}';
  v_at timestamptz;
begin
  if jsonb_typeof(p_value) = 'string' and v_text like 'in %' then
    return jsonb_build_object('in_ms', ${s}.duration_ms_1(p_what, to_jsonb(btrim(substr(v_text, 4)))));
  end if;
  begin
    if jsonb_typeof(p_value) = 'string' then v_at := v_text::timestamptz; end if;
  exception when others then
    v_at := null;
  end;
  if v_at >= '0001-01-01Z' and v_at < '10000-01-01Z' then return jsonb_build_object('at', v_at); end if;
  perform ${s}.refuse_1(p_what, 'a timestamp, or text such as "in 10m"', p_value);
end
$$`
}

function keptSeconds({ schema: s }: Names): string {
  return `create function ${s}.kept_seconds_1(p_what text, p_value jsonb) returns integer language plpgsql stable ${plain} as $$
begin
  if p_value = '"none"' then return 0; end if;
  if p_value = '"forever"' then return -1; end if;
  return ceil(${s}.duration_ms_1(p_what, p_value, 0, 315360000000) / 1000);
end
$$`
}

function backoff({ schema: s }: Names): string {
  return `create function ${s}.backoff_1(p_what text, p_value jsonb) returns jsonb language plpgsql stable ${plain} as $$
declare
  v_key text; v_value jsonb; v_read jsonb := '{"initial": 1000, "factor": 2, "max": 300000, "jitter": "full"}';
begin
  if jsonb_typeof(p_value) is distinct from 'object' then
    perform ${s}.refuse_1(p_what, 'an object with initial, factor, max and jitter', p_value);
  end if;
  for v_key, v_value in select * from jsonb_each(p_value) loop
    if v_key in ('initial', 'max') then
      v_value := to_jsonb(${s}.duration_ms_1(p_what || '.' || v_key, v_value));
    elsif v_key = 'factor' then
      if jsonb_typeof(v_value) <> 'number' or (v_value #>> '{}')::numeric not between 1 and 1000000 then
        perform ${s}.refuse_1(p_what || '.factor', 'a number of at least 1', v_value);
      end if;
    elsif v_key = 'jitter' then
      if v_value not in ('"full"', '"none"') then
        perform ${s}.refuse_1(p_what || '.jitter', '"full" or "none"', v_value);
      end if;
    else
      perform ${s}.refuse_1(p_what, 'one of initial, factor, max, jitter', to_jsonb(v_key));
    end if;
    v_read := v_read || jsonb_build_object(v_key, v_value);
  end loop;
  return v_read;
end
$$`
}

/** The key with its scope, as stored. */
function uniqueKey({ schema: s }: Names): string {
  return `create function ${s}.unique_key_1(p_what text, p_value jsonb, p_queue text, p_name text)
returns text language plpgsql ${plain} as $$
declare
  v_key text := case jsonb_typeof(p_value) when 'string' then p_value #>> '{}' when 'object' then p_value ->> 'key' end;
  v_scope text := case jsonb_typeof(p_value) when 'object' then coalesce(p_value ->> 'scope', 'global') else 'global' end;
begin
  if jsonb_typeof(p_value) = 'object' and p_value - 'key' - 'scope' <> '{}' then
    perform ${s}.refuse_1(p_what, 'text, or an object with key and scope', p_value);
  end if;
  if v_key is null or length(v_key) not between 1 and 500 then
    perform ${s}.refuse_1(p_what, '1 to 500 characters of text, or an object with key and scope', p_value);
  end if;
  return case v_scope when 'global' then 'g|' || v_key when 'queue' then 'q|' || p_queue || '|' || v_key
    when 'name' then 'n|' || p_name || '|' || v_key
    else ${s}.refuse_1(p_what || '.scope', '"global", "queue" or "name"', to_jsonb(v_scope)) end;
end
$$`
}

const known =
  "queue, priority, run_at, delay, max_attempts, backoff, timeout, expires_at, unique_key, meta, tags, retention, wake"

/** One option, as the fields of a kind that it sets. */
function option({ schema: s }: Names): string {
  return `create function ${s}.option_1(p_function text, p_key text, p_value jsonb)
returns jsonb language plpgsql stable ${plain} as $$
declare
  v_what text := format('%s: option "%s"', p_function, p_key);
  v_moment jsonb;
  v_snake text := lower(regexp_replace(p_key, '([A-Z])', '_\\1', 'g'));
begin
  case p_key
  when 'queue' then
    if jsonb_typeof(p_value) <> 'string' or p_value #>> '{}' !~ '${usableName}' then
      perform ${s}.refuse_1(v_what, '${expectedName}', p_value);
    end if;
    return jsonb_build_object('queue', p_value);
  when 'priority' then
    return jsonb_build_object('rank', -${s}.whole_1(v_what, p_value, -1000000, 1000000));
  when 'max_attempts' then
    return jsonb_build_object('max_attempts', ${s}.whole_1(v_what, p_value, 1, 1000000));
  when 'timeout' then
    return jsonb_build_object('timeout_ms', ${s}.duration_ms_1(v_what, p_value, 1, 2147483647)::integer);
  when 'delay' then
    return jsonb_build_object('delay_ms', ${s}.duration_ms_1(v_what, p_value));
  when 'run_at', 'expires_at' then
    v_moment := ${s}.moment_1(v_what, p_value);
    return case when v_moment ? 'at' then jsonb_build_object(p_key, v_moment -> 'at')
      else jsonb_build_object(case p_key when 'run_at' then 'delay_ms' else 'expires_ms' end, v_moment -> 'in_ms') end;
  when 'backoff' then
    return jsonb_build_object('options', jsonb_build_object('backoff', ${s}.backoff_1(v_what, p_value)));
  when 'retention' then
    if jsonb_typeof(p_value) <> 'object' then
      return jsonb_build_object('keep_s', ${s}.kept_seconds_1(v_what, p_value), 'keep_failed_s', ${s}.kept_seconds_1(v_what, p_value));
    end if;
    if p_value - 'succeeded' - 'failed' <> '{}' then
      perform ${s}.refuse_1(v_what, 'a duration, "none", "forever", or an object with succeeded and failed', p_value);
    end if;
    return jsonb_build_object(
      'keep_s', ${s}.kept_seconds_1(v_what || '.succeeded', coalesce(p_value -> 'succeeded', '"1d"')),
      'keep_failed_s', ${s}.kept_seconds_1(v_what || '.failed', coalesce(p_value -> 'failed', '"1d"')));
  when 'meta' then
    if jsonb_typeof(p_value) <> 'object' or octet_length(p_value::text) > 65536 then
      perform ${s}.refuse_1(v_what, 'an object of at most 65,536 bytes', p_value);
    end if;
    return jsonb_build_object('meta', p_value);
  when 'tags' then
    if jsonb_typeof(p_value) <> 'array' or jsonb_array_length(p_value) > 100
      or exists (select 1 from jsonb_array_elements(p_value) t where jsonb_typeof(t) <> 'string' or length(t #>> '{}') not between 1 and 500) then
      perform ${s}.refuse_1(v_what, 'a list of at most 100 texts of 1 to 500 characters', p_value);
    end if;
    return jsonb_build_object('tags', p_value);
  when 'unique_key' then
    return '{}';
  when 'wake' then
    if jsonb_typeof(p_value) <> 'boolean' then perform ${s}.refuse_1(v_what, 'true or false', p_value); end if;
    return '{}';
  else
    raise exception using errcode = '22023', message = format('%s: there is no option "%s"', p_function, p_key),
      hint = case when v_snake = any(string_to_array('${known}', ', '))
        then format('It is called "%s" here.', v_snake) else 'Known: ${known}.' end;
  end case;
end
$$`
}

const usableName = "^[A-Za-z0-9_][A-Za-z0-9_.:/#-]{0,127}$"
const expectedName = '1 to 128 letters, digits and "_ . : / # -", starting with a letter, a digit or "_"'

/** What push_1 is to be told: the core's defaults, what workers announced of this name, and the options. */
function kind({ schema: s }: Names): string {
  return `create function ${s}.kind_1(p_function text, p_name text, p_options jsonb)
returns jsonb language plpgsql stable ${plain} as $$
declare
  v_kind jsonb; v_keyed boolean; v_key text; v_value jsonb;
begin
  if p_name is null or p_name !~ '${usableName}' then
    perform ${s}.refuse_1(p_function || ': name', '${expectedName}', to_jsonb(p_name));
  end if;
  if jsonb_typeof(coalesce(p_options, '{}')) <> 'object' then
    perform ${s}.refuse_1(p_function || ': options', 'a JSON object', p_options);
  end if;
  if num_nonnulls(nullif(p_options -> 'run_at', 'null'), nullif(p_options -> 'delay', 'null')) = 2 then
    raise exception using errcode = '22023',
      message = p_function || ': run_at and delay say the same thing twice', hint = 'Give one of them.';
  end if;
  select d.kind, d.keyed into v_kind, v_keyed from ${s}.definitions d where d.name = p_name;
  v_kind := '{"queue": "default"}' || coalesce(v_kind, '{}') || jsonb_build_object('n', 0, 'name', p_name);
  for v_key, v_value in select * from jsonb_each(p_options) where value <> 'null' or key not in (select unnest(string_to_array('${known}', ', '))) loop
    v_kind := v_kind || ${s}.option_1(p_function, v_key, v_value);
  end loop;
  if v_keyed and not p_options ? 'unique_key' then
    raise exception using errcode = '22023',
      message = format('%s: the unique key of "%s" is made by code that SQL cannot run', p_function, p_name),
      hint = 'Give the same unique_key in the options, or "unique_key": null to push without one.';
  end if;
  if nullif(p_options -> 'unique_key', 'null') is not null then
    v_kind := v_kind || jsonb_build_object('unique_key',
      ${s}.unique_key_1(p_function || ': option "unique_key"', p_options -> 'unique_key', v_kind ->> 'queue', p_name));
  end if;
  return v_kind;
end
$$`
}

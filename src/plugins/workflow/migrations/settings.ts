/**
 * Of the functions that others call: what they call inside is planned under the same settings. Rows are addressed by
 * `id = any(…)` or by a whole key, so that no plan depends on statistics (docs/design/core.md, section 3).
 */
export const pinned = `set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
  set enable_nestloop = off set plan_cache_mode = force_generic_plan`

/** Of the functions inside. */
export const inner = "set search_path = pg_catalog, pg_temp"

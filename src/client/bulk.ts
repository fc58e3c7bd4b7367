import { boolean, integer, parseOptions, value, type OptionsInput } from "../lib/options.ts"
import { failure, type ErrorCode } from "../model/errors.ts"
import { ruleOfFilter, type JobFilter } from "../model/filter.ts"
import type { Rule } from "../model/rule.ts"
import { findIds } from "../postgres/find.ts"
import type { Context } from "./context.ts"
import { requireServed } from "./find.ts"

/*
 * Acting on every job that a filter means, in chunks: each chunk is one transaction, so a long action holds no locks for
 * long and may be stopped between two of them. Jobs are visited once, newest first; those that come to match meanwhile
 * are not.
 */

export const bulkOptions = {
  /** Stop after so many jobs. Default: all. */
  limit: integer({ min: 1, doc: "Stop after so many jobs. Default: all." }),
  /** Jobs per transaction. */
  chunk: integer({ default: 500, min: 1, max: 1_000, doc: "Jobs per transaction." }),
  /** Only count: nothing is changed. */
  dryRun: boolean({ default: false, doc: "Only count: nothing is changed." }),
  /** Told after each chunk. */
  onProgress: value<(progress: BulkProgress) => void>({
    type: "function",
    doc: "Told after each chunk.",
    check: (given) => (typeof given === "function" ? undefined : "must be a function"),
  }),
  /** Stops between two chunks. */
  signal: value<AbortSignal>({
    type: "AbortSignal",
    doc: "Stops between two chunks.",
    check: (given) => (given instanceof AbortSignal ? undefined : "must be an AbortSignal"),
  }),
}

export type BulkOptions = OptionsInput<typeof bulkOptions>

export interface BulkProgress {
  readonly matched: number
  readonly changed: number
  readonly refused: number
}

export interface Refusal {
  readonly id: string
  readonly code: ErrorCode
  readonly message: string
}

export interface BulkReport extends BulkProgress {
  /** The first 100 refusals, each with its reason. */
  readonly refusals: readonly Refusal[]
}

/** What became of one chunk. */
export interface ChunkResult {
  readonly changed: number
  readonly refusals: readonly Refusal[]
}

const mostRefusals = 100

/** Visits the filter's jobs chunk by chunk. */
export async function inChunks(
  context: Context,
  owner: string,
  filter: JobFilter | Rule,
  given: BulkOptions | undefined,
  act: (ids: readonly string[]) => Promise<ChunkResult>,
): Promise<BulkReport> {
  if (filter === undefined || filter === null) {
    throw failure("MILLRACE_BAD_OPTION", `${owner} needs a filter; an empty one, {}, means every job.`)
  }
  const options = parseOptions(owner, bulkOptions, given)
  const rule = ruleOfFilter(filter)
  await requireServed(context, rule)
  const total = { matched: 0, changed: 0, refused: 0, refusals: [] as Refusal[] }
  const { db, names } = context
  let before: string | undefined
  for (;;) {
    options.signal?.throwIfAborted()
    const limit = Math.min(options.chunk, (options.limit ?? Infinity) - total.matched)
    if (limit <= 0) return total
    const ids = await findIds(db, names, { rule, limit, before })
    const result = options.dryRun || ids.length === 0 ? { changed: 0, refusals: [] } : await act(ids)
    total.matched += ids.length
    total.changed += result.changed
    total.refused += result.refusals.length
    total.refusals.push(...result.refusals.slice(0, mostRefusals - total.refusals.length))
    if (ids.length > 0) options.onProgress?.({ matched: total.matched, changed: total.changed, refused: total.refused })
    if (ids.length < limit) return total
    before = ids.at(-1)
  }
}

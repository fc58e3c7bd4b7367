import { backoffDelay } from "../lib/backoff.ts"
import { abortableSleep } from "../lib/signal.ts"
import type { Context } from "../client/context.ts"
import type { Transaction } from "../model/database.ts"
import { isDirective } from "../model/outcome.ts"
import { failure, isMillraceError } from "../model/errors.ts"
import { claimStatus, cycle, noFloors } from "../postgres/jobs.ts"
import { sqlState, verdict } from "../postgres/sqlstate.ts"
import type { Home } from "./home.ts"
import type { Running } from "./running.ts"
import { insertPushed } from "./settle-lane.ts"

/*
 * A handler's own writes and its completion in one transaction. The claim is settled last, inside it: when the token is
 * stale, or a cancel was asked for, everything rolls back. When the reply to COMMIT is lost, the job's row tells: reading
 * it waits for a commit that is still under way.
 */

export interface Completion {
  readonly value: unknown
  /** Ids whose result somebody waits for. */
  readonly awaited: readonly string[]
}

const retries = { initial: 50, factor: 2, max: 2_000, jitter: "full" } as const

/** @param checked what `run` returns went through the result's schema already. */
export async function completeIn(
  home: Home,
  attempt: Running,
  run: (tx: Transaction) => unknown,
  checked: boolean,
): Promise<Completion> {
  let completion: Completion | undefined
  try {
    await home.context.db.transaction(async (tx) => {
      const returned = await run(tx)
      // Nothing that ends otherwise than well may commit: it is obeyed after the rollback.
      // oxlint-disable-next-line typescript/only-throw-error -- a directive is thrown like an error, and is none
      if (isDirective(returned)) throw returned
      const value = attempt.definition?.resultSchema && !checked ? await attempt.check(returned) : returned
      completion = { value, awaited: await settleHealed(tx, home, attempt, value) }
    })
  } catch (error) {
    if (!isMillraceError(error, "MILLRACE_COMMIT_UNKNOWN")) throw error
    const status = await statusOf(home.context, attempt)
    if (status === "lost") throw leaseLost(attempt)
    if (status !== "settled") throw error
  }
  return completion!
}

/** When the history lacks a partition, only the settle is rolled back and done again, not what the handler wrote. */
async function settleHealed(tx: Transaction, home: Home, attempt: Running, value: unknown) {
  await tx.query("savepoint millrace_settle").catch((error: unknown) => {
    throw sqlState(error) === "25P02" ? swallowed(error) : error
  })
  try {
    return await settleIn(tx, home, attempt, value)
  } catch (error) {
    if (verdict(error) !== "partition") throw error
    await tx.query("rollback to savepoint millrace_settle")
    await home.repair(error)
    return settleIn(tx, home, attempt, value)
  }
}

const swallowed = (cause: unknown) =>
  failure(
    "MILLRACE_ROLLED_BACK",
    "An error inside the transaction was swallowed, so nothing of it can be committed. Let the error through, or use a " +
      "savepoint around the statement that may fail.",
    cause,
  )

async function settleIn(tx: Transaction, { context, hooks, identity }: Home, attempt: Running, value: unknown) {
  const { incarnation, id } = identity()
  const { summary } = await cycle(tx, context.names, {
    worker: incarnation,
    workerId: id,
    queue: attempt.queue,
    settle: [attempt.settlement({ state: "succeeded", charge: 1, value })],
    token: incarnation,
    limit: 0,
    suspect: false,
    except: null,
    floors: noFloors,
  })
  if (summary.stale) throw leaseLost(attempt)
  if (summary.cancelled) {
    throw failure("MILLRACE_CANCELLED", `Job ${attempt.id} was cancelled, so its transaction was rolled back.`)
  }
  await insertPushed(tx, context, attempt.pushes)
  await hooks.saving([{ job: attempt, state: "succeeded", times: attempt.times }], tx)
  return summary.awaited ?? []
}

export const leaseLost = (attempt: { readonly id: string }) =>
  failure(
    "MILLRACE_LEASE_LOST",
    `This worker's claim of job ${attempt.id} is not valid any more; whatever it still does is not recorded.`,
  )

/** Asks until the database answers. */
async function statusOf({ db, names }: Context, attempt: Running) {
  for (let failures = 1; ; failures++) {
    try {
      return await claimStatus(db, names, attempt.queue, attempt.id, attempt.token)
    } catch (error) {
      if (verdict(error) !== "retry") throw error
      await abortableSleep(backoffDelay(retries, failures))
    }
  }
}

import { randomUUID } from "node:crypto"
import type { Context } from "../client/context.ts"
import { claimsOf, cycle, noFloors, type Settlement } from "../postgres/jobs.ts"
import type { Identity } from "./home.ts"
import type { QueueRunner } from "./queue-runner.ts"

/*
 * The reply to a claim can be lost: then the database holds claims that no memory knows of, and their lease is renewed
 * with the worker's. So with each heartbeat the claims in the database are compared with what is held and what calls in
 * flight may be claiming; what nobody knows of is handed back by its token, uncharged.
 */

interface Claim {
  readonly id: string
  readonly token: string
}

/**
 * Compares and hands back. What was held when the question was sent counts as known, since it may have been settled
 * while the answer travelled.
 *
 * @returns how many claims were handed back.
 */
export async function reconcile(
  context: Context,
  worker: Identity,
  runners: () => readonly QueueRunner[],
): Promise<number> {
  const heldBefore = new Set(runners().flatMap((runner) => runner.held.all().map(({ id, token }) => token + id)))
  const callingBefore = new Set(runners().flatMap((runner) => [...runner.claiming]))
  const claims = await claimsOf(context.db, context.names, worker.incarnation)
  for (const { id, cancel } of claims) {
    if (cancel) for (const runner of runners()) runner.cancel(id, cancel.reason ?? undefined)
  }
  const unknown = claims.filter(({ id, token }) => {
    if (heldBefore.has(token + id) || callingBefore.has(token)) return false
    return !runners().some((runner) => runner.isClaiming(token) || runner.held.has(id, token))
  })
  for (const queue of new Set(unknown.map((claim) => claim.queue))) {
    const lost = unknown.filter((claim) => claim.queue === queue)
    await handBack(context, worker, queue, lost)
  }
  return unknown.length
}

async function handBack(
  { db, names, notices, log }: Context,
  worker: Identity,
  queue: string,
  claims: readonly Claim[],
) {
  const settle = claims.map(({ id, token }): Settlement => ({ id, token, state: "pending", charge: 0 }))
  await cycle(db, names, {
    worker: worker.incarnation,
    workerId: worker.id,
    queue,
    settle,
    token: randomUUID(),
    limit: 0,
    suspect: false,
    except: null,
    floors: noFloors,
  })
  notices.send({ kind: "ready", about: queue })
  log.info(`queue "${queue}": claims whose reply was lost were handed back`, { jobs: claims.length })
}

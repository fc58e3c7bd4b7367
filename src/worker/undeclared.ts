import type { Context } from "../client/context.ts"
import { undeclaredQueues } from "../postgres/queues.ts"

/** Warns once per queue that has jobs but no row. */
export async function reportUndeclared({ db, names, log }: Context, reported: Set<string>): Promise<void> {
  for (const queue of await undeclaredQueues(db, names)) {
    if (!reported.has(queue))
      log.warn(
        `queue "${queue}" has jobs but was never declared, so nobody runs them: call app.declareQueue("${queue}")`,
      )
    reported.add(queue)
  }
}

import { Signal } from "../../lib/signal.ts"
import { failure } from "../../model/errors.ts"
import type { AppContext } from "../../model/plugin.ts"
import { unknownWorkflow } from "./unknown.ts"
import { findWorkflow } from "./store.ts"

/*
 * Waiting for workflows. The database tells of each that finishes, in the transaction that finishes it; should that get lost
 * (a pooler, a lost connection), a look each second finds it.
 */

const safetyNet = 1_000
const withoutNotices = 150

export class Finishes {
  readonly #app: AppContext
  readonly #waiting = new Map<string, Set<Signal>>()
  #listens = false

  constructor(app: AppContext) {
    this.#app = app
  }

  /** Resolves once it has finished. @throws MILLRACE_TIMEOUT, MILLRACE_UNKNOWN_WORKFLOW. */
  async wait(id: string, timeout = Infinity): Promise<void> {
    const deadline = performance.now() + timeout
    const told = this.#listen(id)
    try {
      for (;;) {
        const row = await findWorkflow(this.#app.db, this.#app.names, id)
        if (!row) throw unknownWorkflow(id)
        if (row.finished_at) return
        const left = deadline - performance.now()
        if (left <= 0) throw notInTime(id)
        await told.wait(Math.min(left, this.#app.config.notifications ? safetyNet : withoutNotices))
      }
    } finally {
      this.#forget(id, told)
    }
  }

  #listen(id: string): Signal {
    if (!this.#listens) {
      this.#listens = true
      // Until the app is closed, which ends its hub.
      this.#app.hub.on("workflow.finished", ({ body }) => {
        for (const told of this.#waiting.get(body.id) ?? []) told.notify()
      })
    }
    const told = new Signal()
    const all = this.#waiting.get(id) ?? new Set()
    this.#waiting.set(id, all.add(told))
    return told
  }

  #forget(id: string, told: Signal): void {
    const all = this.#waiting.get(id)
    all?.delete(told)
    if (all?.size === 0) this.#waiting.delete(id)
  }
}

const notInTime = (id: string) =>
  failure("MILLRACE_TIMEOUT", `Workflow ${id} did not finish in time. It goes on; wait again or cancel it.`)

import type { EventHub } from "../client/hub.ts"
import type { Ended } from "../model/plugin.ts"
import type { RunningJob } from "../model/running-job.ts"

/** Tells the hub of jobs; free where nobody hears them. To the whole cluster only when asked for: it costs a notice per job. */
export class JobEvents {
  readonly #hub: EventHub
  readonly #worker: string
  readonly #cluster: boolean

  constructor(hub: EventHub, worker: string, cluster: boolean) {
    this.#hub = hub
    this.#worker = worker
    this.#cluster = cluster
  }

  started(job: RunningJob): void {
    if (this.#cluster || this.#hub.hears("job.started")) this.#emit("job.started", job)
  }

  /** The batch is made only where somebody hears of ends. */
  ended(batch: () => readonly Ended[]): void {
    if (!this.#cluster && !ends.some((state) => this.#hub.hears(`job.${state}`))) return
    for (const { job, state } of batch()) {
      if ((ends as readonly string[]).includes(state)) this.#emit(`job.${state as (typeof ends)[number]}`, job)
    }
  }

  full(queue: string): void {
    if (this.#hub.hears("queue.full")) this.#hub.emit("queue.full", { queue, worker: this.#worker })
  }

  #emit(name: "job.started" | `job.${(typeof ends)[number]}`, { id, name: job, queue, attempt }: RunningJob): void {
    this.#hub.emit(name, { id, name: job, queue, attempt, worker: this.#worker }, { cluster: this.#cluster })
  }
}

const ends = ["succeeded", "failed", "retrying", "cancelled"] as const

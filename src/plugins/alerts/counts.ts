import type { Connection } from "../../model/database.ts"
import type { Ended, PluginNames } from "../../model/plugin.ts"

/*
 * How attempts end, per minute, queue and name: gathered in memory and added to a table now and then, so that it costs a
 * job next to nothing. What a killed worker had gathered is lost; a percentage does not need it.
 */

interface Count {
  readonly queue: string
  readonly name: string
  succeeded: number
  failed: number
  retrying: number
}

export class Counts {
  #gathered = new Map<string, Count>()

  add(batch: readonly Ended[]): void {
    for (const { job, state } of batch) {
      if (state !== "succeeded" && state !== "failed" && state !== "retrying") continue
      const { queue, name } = job
      const key = `${queue} ${name}`
      let count = this.#gathered.get(key)
      if (!count) this.#gathered.set(key, (count = { queue, name, succeeded: 0, failed: 0, retrying: 0 }))
      count[state] += 1
    }
  }

  /** Adds what was gathered to the table. What could not be written is kept. */
  async flush(db: Connection, { of }: PluginNames): Promise<void> {
    const counts = this.#gathered
    if (counts.size === 0) return
    this.#gathered = new Map()
    try {
      // In one order everywhere, so that no two workers wait for each other in a circle.
      await db.query(
        `insert into ${of("alert_counts")} as c (minute, queue, name, succeeded, failed, retrying)
         select date_trunc('minute', now()), n.queue, n.name, n.succeeded, n.failed, n.retrying
         from jsonb_to_recordset($1::text::jsonb) as n(queue text, name text, succeeded bigint, failed bigint, retrying bigint)
         order by n.queue, n.name
         on conflict (minute, queue, name) do update set succeeded = c.succeeded + excluded.succeeded,
           failed = c.failed + excluded.failed, retrying = c.retrying + excluded.retrying`,
        [JSON.stringify([...counts.values()])],
      )
    } catch (error) {
      this.#putBack(counts)
      throw error
    }
  }

  #putBack(counts: Map<string, Count>): void {
    for (const [key, count] of counts) {
      const newer = this.#gathered.get(key)
      if (!newer) this.#gathered.set(key, count)
      else for (const state of ["succeeded", "failed", "retrying"] as const) newer[state] += count[state]
    }
  }
}

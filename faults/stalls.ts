// Watches the machine during a round: when our own loop, or the server, gets no time, that is no fault of the system under
// test. It is told apart from what we did to it.
import pg from "pg"
import { pause } from "./crew.ts"
import { machineTime } from "./timing.ts"

export interface Stall {
  readonly from: number
  readonly until: number
}

const noticed = 700
const starved = 4

export class StallWatch {
  readonly stalls: Stall[] = []
  readonly #timer: NodeJS.Timeout
  readonly #work: NodeJS.Timeout
  readonly #url: string
  #best = Infinity
  #over = false
  #probing: Promise<void>

  constructor(url: string) {
    this.#url = url
    let last = machineTime()
    this.#timer = setInterval(() => {
      const now = machineTime()
      if (now - last > noticed) this.stalls.push({ from: last, until: now })
      last = now
    }, 100)
    this.#work = setInterval(() => this.#measure(), 400)
    this.#probing = this.#probe()
  }

  /** The same work takes a multiple of its best time where others have the processors: then renewals come late, too. */
  #measure(): void {
    const from = machineTime()
    let sum = 0
    for (let n = 0; n < 4_000_000; n++) sum = (sum * 31 + n) | 0
    const took = machineTime() - from + (sum === 1 ? 1 : 0)
    this.#best = Math.min(this.#best, took)
    if (took > starved * this.#best) this.stalls.push({ from, until: from + took })
  }

  async stop(): Promise<void> {
    this.#over = true
    clearInterval(this.#timer)
    clearInterval(this.#work)
    await this.#probing
  }

  /** A statement that should take a millisecond. One that fails was met by a fault of ours, and says nothing. */
  async #probe(): Promise<void> {
    while (!this.#over) {
      const client = new pg.Client({ connectionString: this.#url, application_name: "harness" })
      client.on("error", () => {})
      try {
        await client.connect()
        while (!this.#over) {
          const from = machineTime()
          await client.query("select 1")
          if (machineTime() - from > noticed) this.stalls.push({ from, until: machineTime() })
          await pause(250)
        }
      } catch {
        await pause(250)
      } finally {
        await client.end().catch(() => {})
      }
    }
  }
}

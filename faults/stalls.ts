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

export class StallWatch {
  readonly stalls: Stall[] = []
  readonly #timer: NodeJS.Timeout
  readonly #url: string
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
    this.#probing = this.#probe()
  }

  async stop(): Promise<void> {
    this.#over = true
    clearInterval(this.#timer)
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

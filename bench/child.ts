// Entry of the child processes: one side, driven over IPC by the process that measures (`crew.ts`).
import { consume, type Consumption, type Work } from "./consume.ts"
import { ownCpu } from "./measure.ts"
import { enqueue, pushSteadily, seed, trickle, type Enqueued, type EnqueueMode } from "./produce.ts"
import { loadSide, type Checks, type Producer, type SideName, type WorkerOptions } from "./side.ts"

export interface Commands {
  describe(): { versions: Record<string, string>; sql: Checks }
  migrate(): Promise<void>
  seed(count: number, from?: number): Promise<void>
  enqueue(mode: EnqueueMode, seconds: number): Promise<Enqueued>
  trickle(count: number, gap: number): Promise<number>
  pushSteadily(rate: number, seconds: number): Promise<number>
  work(work: Work, options: WorkerOptions): Promise<void>
  /** CPU seconds of its worker, since the first handler started. */
  usedCpu(): number
  /** CPU seconds of the whole process, since it started. */
  totalCpu(): number
  latencies(): number[]
  stop(): Promise<void>
}

export interface Request {
  id: number
  command: keyof Commands
  args: unknown[]
}

export type Message =
  | { id: number; value: unknown }
  | { id: number; error: string }
  | { event: "first"; at: number }
  | { event: "finished"; count: number }

const [name, url] = process.argv.slice(2) as [SideName, string]
const side = await loadSide(name)
let producer: Promise<Producer> | undefined
let consumption: Consumption | undefined

const commands: Commands = {
  describe: () => ({ versions: side.versions, sql: side.sql }),
  migrate: () => side.migrate(url),
  seed: async (count, from) => seed(await produce(), count, from),
  enqueue: async (mode, seconds) => enqueue(await produce(), mode, seconds),
  trickle: async (count, gap) => trickle(await produce(), count, gap),
  pushSteadily: async (rate, seconds) => pushSteadily(await produce(), rate, seconds),
  async work(work, options) {
    consumption = await consume(side, url, work, options, {
      first: (at) => send({ event: "first", at }),
      finished: (count) => send({ event: "finished", count }),
    })
  },
  usedCpu: () => consumption?.cpu() ?? 0,
  totalCpu: ownCpu,
  latencies: () => consumption?.latencies ?? [],
  async stop() {
    await consumption?.running.stop()
    await (await producer)?.close()
  },
}

function produce(): Promise<Producer> {
  return (producer ??= side.producer(url))
}

async function answer({ id, command, args }: Request): Promise<void> {
  try {
    const run = commands[command] as (...args: unknown[]) => unknown
    send({ id, value: await run(...args) })
  } catch (error) {
    send({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

function send(message: Message): void {
  process.send?.(message)
}

process.on("message", (request: Request) => void answer(request))
// The measuring process is gone: nobody reads the answer any more.
process.on("disconnect", () => process.exit(1))

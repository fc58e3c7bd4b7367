// A worker that runs the flow of ten steps, and kills itself where it is told to.
import pg from "pg"
import { finishedAge, flows, Millrace, type Flow, type MillraceOptions, type Transaction } from "millrace"
import { pruner, Worker, type WorkerOptions } from "millrace/worker"
import { machineTime, type Order, type Report } from "../../support/worker-process.ts"
import { ten, twice, type Ten, type TenResult } from "../flow-jobs.ts"

export interface FlowPlan {
  readonly app: Omit<MillraceOptions, "logger" | "pool">
  readonly worker: Omit<WorkerOptions, "handlers" | "executors" | "plugins">
  /** Quoted names of tables. */
  readonly effects: string
  readonly kills: string
}

const plan = JSON.parse(process.env.MILLRACE_PLAN!) as FlowPlan & { readonly label: string }
const pool = new pg.Pool({ connectionString: plan.app.dsn!, max: 3 })
pool.on("error", () => {})
const held = new Map<string, () => void>()

function say(report: Report): void {
  if (process.connected) process.send!({ ...report, at: machineTime() })
}

/** Dies here, if this flow is to die here and has not yet. */
async function at(point: string, flow: Flow, { kill }: Ten): Promise<void> {
  if (!kill.includes(point)) return
  const { rowCount } = await pool.query(
    `insert into ${plan.kills} (job, point) values ($1, $2) on conflict do nothing`,
    [flow.id, point],
  )
  if (rowCount === 1) process.kill(process.pid, "SIGKILL")
}

const effect = (tx: Transaction, flow: Flow, n: number) =>
  tx.query(`insert into ${plan.effects} (job, n, by) values ($1, $2, $3)`, [flow.id, n, plan.label])

async function run(flow: Flow, payload: Ten): Promise<TenResult> {
  const point = (name: string) => at(name, flow, payload)
  const around = async <T>(name: string, call: () => Promise<T>): Promise<T> => {
    await point(`before ${name}`)
    const value = await call()
    await point(`after ${name}`)
    return value
  }
  const plain = (name: string, value: unknown) =>
    around(name, () =>
      flow.step(name, async ({ attempt }) => {
        await point(`in ${name}`)
        if (name === "step" && payload.hold && attempt === 1 && flow.job.claims === 1) await order(flow)
        return value
      }),
    )
  const written = (name: string, n: number) =>
    around(name, () =>
      flow.transaction(name, async (tx) => {
        await effect(tx, flow, n)
        await point(`in ${name}`)
        return n
      }),
    )
  const one = await plain("step", 1)
  const two = await written("transaction", 2)
  const uuid = await around("value", () => flow.uuid())
  const same = await flow.step("same", () => uuid)
  const child = await around("push", () => flow.push(twice, 21))
  const four = await around("result", () => child.result())
  await around("sleep", () => flow.sleep("30ms"))
  const six = await around("signal", () => flow.waitFor("go"))
  const both = await Promise.all([plain("left", 7), written("right", 8)])
  const last = await written("last", 10)
  return { steps: [one, two, uuid === same, four, six, ...both, last] }
}

function order(flow: Flow): Promise<void> {
  say({ kind: "started", job: flow.id, attempt: 1, crashes: flow.job.crashes, claims: flow.job.claims })
  return new Promise((resolve) => held.set(flow.id, resolve))
}

process.on("message", ({ job }: Order) => held.get(job)?.())
process.on("disconnect", () => process.exit(3)) // the test's process is gone

const app = new Millrace({ ...plan.app, logger: false, plugins: [flows({ sweep: "200ms" })] })
const handlers = [ten.handler(run), twice.handler((n) => n * 2)]
// Whatever has finished is pruned at once.
const plugins = [pruner({ rule: finishedAge.gte("0ms"), every: "50ms" })]
const worker = new Worker(app, { ...plan.worker, handlers, plugins })
const looking = setInterval(() => {
  if (worker.state === "starting" || worker.state === "new") return
  clearInterval(looking)
  say({ kind: "ready" })
}, 10)
const saved = await worker.run()
say({ kind: "stopped", saved })

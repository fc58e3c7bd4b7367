// What it costs to have a job run in a thread or process: dispatch alone, beside piscina with the same function, and
// through a queue; and what one stuck and one crashing job cost their neighbours.
import { Millrace } from "millrace"
import { Worker, type Executor } from "millrace/worker"
import { noop } from "../executor-jobs.ts"
import { attemptOf, keepBusy, module, open } from "../executor-load.ts"
import { median } from "../figures.ts"
import { now } from "../measure.ts"
import { importPeer, installPeer, peerVersions } from "../peers.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { withDatabase } from "../server.ts"

const LANES = 8
const TASKS = 40_000
const ROUNDS = 5
const LOSS_ROUNDS = 3
const WINDOW = 3_000

export const executors: Scenario = {
  summary:
    "µs per no-op job in a thread (beside piscina's), jobs/s in processes, what a stuck or crashing job costs others",
  peers: false,
  rounds: 1,
  measure,
}

async function measure(run: Run): Promise<Measurement> {
  await installPeer("piscina")
  const { thread, piscina } = await beside(run)
  const processes = await withExecutor("process", (executor) => perTask(executor, TASKS / 2))
  run.say(`process ${processes.toFixed(1)} µs per job`)
  const loss = { thread: await neighbourLoss("thread"), process: await neighbourLoss("process") }
  run.say(
    `neighbours lose ${(loss.thread * 100).toFixed(1)} % (thread), ${(loss.process * 100).toFixed(1)} % (process)`,
  )
  const throughQueue = { thread: await queueRate(run, "thread"), process: await queueRate(run, "process") }
  const figures = {
    threadVsPiscina: thread / piscina,
    processJobsPerSecond: 1e6 / processes,
    neighbourLoss: Math.max(loss.thread, loss.process),
    microsecondsPerJob: { thread, process: processes, piscina },
    piscinaTasksPerSecond: 1e6 / piscina,
    neighbourLossIn: loss,
    queueJobsPerSecond: throughQueue,
  }
  return { figures, versions: peerVersions("piscina"), foreignLoad: null }
}

/** Thread and piscina in turns, so that a noisy machine disturbs both alike. */
async function beside(run: Run): Promise<{ thread: number; piscina: number }> {
  const { default: Piscina } = (await importPeer("piscina")) as {
    default: new (options: object) => { run(task: unknown): Promise<unknown>; destroy(): Promise<void> }
  }
  const pool = new Piscina({ filename: module.href, minThreads: LANES, maxThreads: LANES })
  const task = () => pool.run(1)
  try {
    return await withExecutor("thread", async (executor) => {
      await time(task, 2_000)
      const thread: number[] = []
      const piscina: number[] = []
      for (let round = 0; round < ROUNDS; round++) {
        thread.push(await perTask(executor, TASKS))
        piscina.push(await time(task, TASKS))
        run.say(`thread ${thread.at(-1)!.toFixed(1)} µs, piscina ${piscina.at(-1)!.toFixed(1)} µs per job`)
      }
      return { thread: median(thread), piscina: median(piscina) }
    })
  } finally {
    await pool.destroy()
  }
}

async function withExecutor<T>(kind: "thread" | "process", act: (executor: Executor) => Promise<T>): Promise<T> {
  const executor = open(kind)
  await executor.start?.()
  try {
    await perTask(executor, 2_000) // all lanes have their seat, and their code is compiled
    return await act(executor)
  } finally {
    await executor.close?.()
  }
}

const perTask = (executor: Executor, tasks: number) => time(() => runOne(executor), tasks)

async function runOne(executor: Executor): Promise<void> {
  const report = await executor.run(attemptOf("noop"))
  if (!report.ok) throw report.error
}

/** Microseconds per task, with all lanes busy. */
async function time(task: () => Promise<unknown>, tasks: number): Promise<number> {
  let left = tasks
  const started = now()
  await keepBusy(LANES, task, () => left-- > 0)
  return ((now() - started) / tasks) * 1_000
}

/** The share of their throughput that seven busy lanes lose while the eighth has a stuck job, and one that crashes. */
async function neighbourLoss(kind: "thread" | "process"): Promise<number> {
  return withExecutor(kind, async (executor) => {
    const losses: number[] = []
    for (let round = 0; round < LOSS_ROUNDS; round++) {
      const alone = await neighbours(executor, async () => {})
      const beside = await neighbours(executor, async () => {
        const stuck = attemptOf("stuck")
        setTimeout(() => executor.kill!(stuck), WINDOW / 2)
        await executor.run(stuck)
        await executor.run(attemptOf("crash"))
      })
      losses.push(1 - beside / alone)
    }
    return Math.max(0, median(losses))
  })
}

async function neighbours(executor: Executor, trouble: () => Promise<void>): Promise<number> {
  const end = now() + WINDOW
  const [done] = await Promise.all([
    keepBusy(
      LANES - 1,
      () => runOne(executor),
      () => now() < end,
    ),
    trouble(),
  ])
  return done
}

/** A backlog of no-op jobs through a worker and the database. */
function queueRate({ server, options }: Run, executor: "thread" | "process"): Promise<number> {
  const jobs = options.jobs ?? 20_000
  return withDatabase(server, async (dsn) => {
    const queue = { name: "bench", executor, concurrency: LANES }
    await using app = new Millrace({ dsn, logger: false, queues: [queue] })
    await app.migrate()
    await app.declareQueue(queue)
    await app.pauseQueue("bench")
    const pushed = await app.pushMany(
      noop,
      Array.from({ length: jobs }, (_, i) => i),
    )
    await using worker = new Worker(app, { handlers: module })
    await worker.start()
    const started = now()
    await app.resumeQueue("bench")
    await app.wait([pushed.at(-1)!])
    return jobs / ((now() - started) / 1_000)
  })
}

// A custom executor: it takes a job of any name, finds the function that the name stands for, and calls it in the worker,
// one job at a time. It says how that went; what comes of it (a retry, with backoff, or the end) is decided by the worker.
import { defineJob, Millrace } from "millrace"
import { Worker, type Executor } from "millrace/worker"

const my_module = {
  my_dummy_task: ({ name }: { name: string }) => `hello ${name}`,
  my_broken_task: () => {
    throw new Error("broken")
  },
}

type Functions = Record<string, (payload: never) => unknown>
const modules: Record<string, Functions> = { my_module }

const myExecutor: Executor = {
  needsHandler: false,
  run({ name, payload }) {
    const [module = "", fn = ""] = name.split(".")
    return { ok: true, value: modules[module]![fn]!(payload as never) } // what it throws is the job's error
  },
}

const dummy = defineJob<{ name: string }, string>({ name: "my_module.my_dummy_task" })
const broken = defineJob({ name: "my_module.my_broken_task", maxAttempts: 2, backoff: { initial: 0 } })

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  queues: [{ name: "default", concurrency: 10, executor: "mine" }],
})
await app.migrate()
const job = await app.push(dummy, { name: "world" })
const failing = await app.push(broken)
await using worker = new Worker(app, { executors: { mine: myExecutor } })
await worker.start()

console.log(await job.result({ timeout: "10s" }))
const [record] = await app.wait([failing], { timeout: "10s" })
console.log(record!.state, record!.attempts, record!.errors.at(-1)!.message)

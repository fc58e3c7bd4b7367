import { Worker } from "../../worker.ts"
import { loadApp } from "../app-module.ts"
import { UsageError, type Call, type Command } from "../command.ts"
import { relative } from "../format.ts"
import { paint } from "../output.ts"

export const workerCommands: readonly Command[] = [
  {
    name: "worker",
    summary: "Runs a worker until SIGTERM; the module says what it handles",
    options: {
      id: { type: "string", value: "ID", doc: "Its id, unique among live workers. Default: a random one." },
      tag: { type: "string", multiple: true, value: "TAG", doc: "A tag, besides those of the module." },
    },
    examples: ["millrace worker --app ./app.ts", "millrace worker --app ./app.ts --id gpu-1 --tag has=gpu"],
    run: runWorker,
  },
  {
    name: "workers",
    summary: "Lists the workers and what they run",
    examples: ["millrace workers", "millrace workers --json"],
    run: listWorkers,
  },
]

async function runWorker(call: Call): Promise<number> {
  const module = call.text("app")
  if (module === undefined)
    throw new UsageError("which app? Give --app MODULE, a module that exports `app` and `worker`.")
  const loaded = await loadApp(module)
  try {
    const id = call.text("id")
    const tags = [...(loaded.worker.tags ?? []), ...call.texts("tag")]
    const worker = new Worker(loaded.app, { ...loaded.worker, tags, ...(id === undefined ? {} : { id }) })
    return (await worker.run()) ? 0 : 1
  } finally {
    await loaded.app.close()
  }
}

async function listWorkers(call: Call): Promise<number> {
  const workers = await (await call.app()).workers()
  call.out.table(
    workers,
    [
      { title: "id", cell: (worker) => worker.id, flexible: true },
      { title: "alive", cell: (worker) => (worker.alive ? paint("green", "yes") : paint("red", "no")) },
      { title: "leads", cell: (worker) => (worker.leader ? "yes" : "") },
      { title: "host", cell: (worker) => worker.hostname, flexible: true },
      { title: "pid", cell: (worker) => String(worker.pid), right: true },
      { title: "running", cell: (worker) => String(worker.running), right: true },
      { title: "queues", cell: (worker) => worker.queues.join(", "), flexible: true },
      { title: "started", cell: (worker) => relative(worker.startedAt), right: true },
      { title: "seen", cell: (worker) => relative(worker.seenAt), right: true },
    ],
    "no workers",
  )
  return 0
}

// A process of the harness that pushes, cancels, and commits or rolls back, as its seed says.
import { randomUUID } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { isMillraceError, type PushOptions } from "millrace"
import { seeded } from "../test/model/random.ts"
import { attemptsOf, jobs, type JobName } from "./jobs.ts"
import { weighted } from "./plan.ts"
import { letGo, openApp, plan, recorder, watchForStalls } from "./process.ts"
import type { Doing } from "./profiles.ts"
import type { Script } from "./record.ts"
import { timing } from "./timing.ts"

const app = openApp()
const random = seeded(plan.seed)
const recent: string[] = []
let marks = 0
const ending = new AbortController()
let lineN = 0
let lining = false

const codeOf = (error: unknown): string => String((error as { code?: unknown })?.code ?? error)

function script(change: Partial<Script> = {}): Script {
  return {
    mark: `${plan.label}-${++marks}`,
    ms: random.chance(0.3) ? 0 : random.between(1, 120),
    fails: random.chance(0.15) ? random.between(1, 3) : 0,
    snoozes: random.chance(0.08) ? random.between(1, 2) : 0,
    obey: random.chance(0.7),
    ...change,
  }
}

function note(job: JobName, one: Script, options: PushOptions): void {
  const { maxAttempts = attemptsOf[job], uniqueKey } = options
  recorder.note({ t: "push", mark: one.mark, job, script: one, maxAttempts, key: uniqueKey as string | undefined })
}

/** Pushes, and says what it was told. */
async function push(job: JobName, one: Script, options: PushOptions = {}): Promise<void> {
  note(job, one, options)
  try {
    const { id, duplicate } = await sent(job, one, options)
    recorder.note({ t: "pushed", mark: one.mark, id, duplicate })
    recent.push(id)
    if (recent.length > 40) recent.shift()
  } catch (error) {
    recorder.note({ t: "unpushed", mark: one.mark, code: codeOf(error), sure: !isMillraceError(error, "MILLRACE_PUSH_UNKNOWN") }) // prettier-ignore
  }
}

/** Some bring their id, and push again when they were not told. */
async function sent(job: JobName, one: Script, options: PushOptions) {
  if (options.id === undefined) return app.push(jobs[job], one, options)
  for (;;) {
    try {
      return await app.push(jobs[job], one, options)
    } catch (error) {
      if (ending.signal.aborted || !isMillraceError(error, "MILLRACE_PUSH_UNKNOWN")) throw error
    }
  }
}

const when = (): PushOptions => ({
  ...(random.chance(0.2) ? { priority: random.pick([-5, 5]) } : {}),
  ...(random.chance(0.15) ? { delay: random.between(50, 2_500) } : {}),
  ...(random.chance(0.2) ? { id: randomUUID() } : {}),
})

const key = () => `key-${random.between(1, 12)}`

/** Due at one moment. */
async function burst(): Promise<void> {
  const scripts = Array.from({ length: random.between(20, 150) }, () =>
    script({ ms: random.between(0, 5), snoozes: 0 }),
  )
  for (const one of scripts) note("task", one, {})
  const options = random.chance(0.7) ? { runAt: new Date(Date.now() + random.between(200, 1_500)) } : {}
  try {
    const references = await app.pushMany(jobs.task, scripts, options)
    references.forEach(({ id, duplicate }, index) => recorder.note({ t: "pushed", mark: scripts[index]!.mark, id, duplicate })) // prettier-ignore
  } catch (error) {
    const sure = !isMillraceError(error, "MILLRACE_PUSH_UNKNOWN")
    for (const { mark } of scripts) recorder.note({ t: "unpushed", mark, code: codeOf(error), sure })
  }
}

/** Some jobs in a transaction of ours, which stays open for a while, and half of which is rolled back. */
async function transaction(keyed: boolean): Promise<void> {
  const scripts = Array.from({ length: random.between(1, 4) }, () => script())
  const job = keyed ? "single" : "task"
  const holds = keyed ? random.between(0, 300) : random.between(0, 1_500)
  const rollsBack = random.chance(0.5)
  const client = new pg.Client({ connectionString: plan.dsn, connectionTimeoutMillis: 5_000, query_timeout: 5_000 })
  client.on("error", () => {})
  const placed: { mark: string; id: string; duplicate: boolean }[] = []
  let committing = false
  try {
    await client.connect()
    await client.query("begin")
    for (const one of scripts) {
      const options: PushOptions = keyed ? { uniqueKey: key() } : {}
      note(job, one, options)
      const { id, duplicate } = await app.push(jobs[job], one, { ...options, tx: client })
      placed.push({ mark: one.mark, id, duplicate })
    }
    await sleep(holds)
    if (rollsBack) throw new Error("rolled back")
    committing = true
    const { command } = await client.query("commit")
    if (command !== "COMMIT") throw new Error(`the server answered ${command}`)
    for (const one of placed) recorder.note({ t: "pushed", ...one })
  } catch (error) {
    for (const { mark } of scripts) recorder.note({ t: "unpushed", mark, code: codeOf(error), sure: !committing })
  } finally {
    await Promise.race([client.query("rollback").then(() => client.end()), sleep(500)]).catch(() => {})
    ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  }
}

async function cancel(): Promise<void> {
  if (recent.length === 0) return
  const id = random.pick(recent)
  recorder.note({ t: "cancel", id })
  try {
    recorder.note({ t: "cancelled", id, outcome: await app.job(id).cancel("by its harness") })
  } catch {
    // It may have arrived: no outcome is noted.
  }
}

/** One after the other. */
async function inLine(): Promise<void> {
  if (lining) return
  lining = true
  await push("line", script({ ms: random.between(0, 10), fails: 0, snoozes: 0, n: ++lineN }))
  lining = false
}

const doings: Readonly<Record<Doing, () => Promise<void>>> = {
  task: () => push("task", script(), when()),
  slowTask: () => push("task", script({ ms: random.between(1_000, 3_500), fails: 0, snoozes: 0 })),
  stubborn: () =>
    push("task", script({ ms: random.between(timing.lease, 1.9 * timing.lease), fails: 0, snoozes: 0, obey: false })),
  hopeless: () => push("task", script({ fails: 99, snoozes: 0 }), { maxAttempts: 2 }),
  effect: () => push("effect", script({ snoozes: 0 }), when()),
  parent: () => push("parent", script({ snoozes: 0 })),
  kept: () => push("kept", script()),
  line: inLine,
  single: () => push("single", script({ ms: random.between(0, 400) }), { uniqueKey: key() }),
  over: () => push("over", script({ fails: random.between(0, 2), snoozes: 0 })),
  block: () => push("block", script({ fails: 0, snoozes: 0 })),
  die: () => push("die", script()),
  burst,
  transaction: () => transaction(false),
  keyedTransaction: () => transaction(true),
  cancel,
}

async function writer(): Promise<void> {
  while (!ending.signal.aborted) {
    await doings[weighted(random, plan.doings)]()
    await sleep(random.between(...plan.rest))
  }
}

process.on("SIGTERM", () => ending.abort())
watchForStalls()
recorder.note({ t: "ready" })
await Promise.all(Array.from({ length: plan.writers }, writer))
recorder.note({ t: "stopped", saved: true })
await app.close()
letGo()

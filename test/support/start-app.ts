// An app and a worker in a schema of their own, for one test: in the database of the test file, stopped when the test ends.
import { Millrace, type MillraceOptions, type QueueOptions } from "millrace"
import { Worker, type WorkerOptions } from "millrace/worker"
import { afterAll, onTestFinished } from "vitest"
import { collector, shortClocks, until as poll } from "./app.ts"
import { testDatabase, type TestDatabase } from "./database.ts"

export interface StartOptions extends WorkerOptions {
  readonly queues?: readonly QueueOptions[]
  /** Further options of the app. */
  readonly app?: Partial<MillraceOptions>
  /** False: no worker, for tests that start their own, or none. */
  readonly worker?: false
}

/** Only inside a test. */
export async function startApp(options: StartOptions = {}) {
  const { queues = [], app: appOptions = {}, worker: wanted, ...workerOptions } = options
  const { url, pool } = await fileDatabase()
  const schema = `test_${(schemas += 1)}`
  const log = collector()
  const addApp = (more: Partial<MillraceOptions> = {}) => {
    const app = new Millrace({ dsn: url, schema, logger: log, queues, ...more })
    onTestFinished(() => app.close())
    return app
  }
  const app = addApp(appOptions)
  await app.migrate()
  const addWorker = async (more: WorkerOptions = {}) => {
    const worker = new Worker(app, { ...shortClocks, lease: "30s", grace: "500ms", ...more })
    onTestFinished(async () => void (await worker.forceStop()))
    await worker.start()
    return worker
  }
  const worker = wanted === false ? undefined : await addWorker(workerOptions)
  return {
    app,
    /** Not there with `worker: false`. */
    worker: worker as Worker,
    url,
    schema,
    log,
    addApp,
    addWorker,
    /** Rows of a statement in which `$schema` stands for the schema's name. */
    async sql<Row = Record<string, unknown>>(text: string, values: readonly unknown[] = []) {
      return (await pool.query(text.replaceAll("$schema", schema), [...values])).rows as Row[]
    },
  }
}

/** Polls a condition until it holds; what it was is told by its source. */
export const until = <T>(condition: () => T | Promise<T>) => poll(condition, String(condition))

let schemas = 0
let database: Promise<TestDatabase> | undefined

/** The database of this test file, made when first asked for. */
export function fileDatabase(): Promise<TestDatabase> {
  return (database ??= testDatabase())
}

afterAll(async () => {
  await (await database)?.close()
})

import { execFile } from "node:child_process"
import fs from "node:fs"
import path from "node:path"
import { promisify } from "node:util"
import { expect, test } from "vitest"
import { testDatabase } from "./support/database.ts"
import { hasTerminals } from "./support/terminal.ts"

const root = path.resolve(import.meta.dirname, "..")

/** Runs a compiled example against a database of its own, as a user would. */
async function run(example: string): Promise<string> {
  const database = await testDatabase()
  try {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [path.join(root, "build/examples", `${example}.js`)],
      {
        env: { ...process.env, DATABASE_URL: database.url },
        timeout: 60_000,
      },
    )
    return stdout
  } finally {
    await database.close()
  }
}

const expected: Record<string, string> = {
  "job-logs": [
    '1 info opened the file {"rows":4}',
    '2 warn skipped a row {"row":2,"reason":"no name"}',
    "all rows are done",
    "imported 3",
    "[ 'attempt 1: skipped a row' ]",
    "",
  ].join("\n"),
  flow: [
    "charging order 7, attempt 1",
    "r-7, approved by Ada, parcel p-7",
    "charge: step, done",
    "approved: signal, done",
    "ship: push, done",
    "ship.result: result, done",
    "sleep: sleep, done",
    "",
  ].join("\n"),
  "push-from-sql": [
    "mail: hello Ada",
    "[ { cancelled: 'cancelled' } ]",
    'millrace.push: there is no option "maxAttempts" It is called "max_attempts" here.',
    "permission denied for table jobs ",
    "",
  ].join("\n"),
  "seeds/000-leader-loop": "I'm the leader!\n",
  "seeds/001-required-plugins": "[ 'leadership', 'recovery', 'pruner', 'metrics' ]\n",
  "seeds/001-configuring": "[ 'leadership', 'recovery', 'pruner', 'metrics' ]\n",
  "seeds/001-running-jobs-counter": "Current number of running jobs: 0\n",
  "seeds/003-breakdown": "[ [ 'default', 'scheduled', 3 ] ]\n",
  "fair-tenants": "no-worker, turn\nbig 1, big 2, small 1, small 2\n",
  "errors-and-alerts": [
    "firing: RangeError: customer <n> has no card",
    "3 times RangeError: customer <n> has no card",
    "[ 'charge 3' ]",
    "resolved: RangeError: customer <n> has no card",
    "",
  ].join("\n"),
  telemetry: [
    "POST /orders  ",
    "  push mail  ",
    "    run mail greylisted ",
    "      smtp ada@example.com  ",
    "    run mail  (again)",
    "      smtp ada@example.com  ",
    "",
  ].join("\n"),
  dashboard: [
    '{"to":"Grace"}',
    '{"to":"Ada","password":"[redacted]"}',
    '200 {"dryRun":true,"action":"cancel","total":{"value":1,"capped":false},"undoable":true}',
    "401",
    "",
  ].join("\n"),
  "guide-plugin": "[ { queue: 'default', waiting: 2 } ]\n",
  schedules: [
    "every day at 02:30, Europe/Berlin",
    "2027-03-27T02:30:00+01:00",
    "2027-03-28T03:00:00+02:00",
    "2027-03-29T02:30:00+02:00",
    "a beat, of schedule heart",
    "[ 'digest: code', 'heart: made at run time' ]",
    "",
  ].join("\n"),
  triggers: "2 triggers\n[ 'ada@example.com', 'ada@example.org', 'grace@example.org' ]\n",
  "quick-start": "hello Ada, attempt 1\n",
  metrics:
    "mail.sent { provider: 'x' } 3\njobs.ended { name: 'greet', queue: 'default', outcome: 'succeeded' } 3\n200 true 200 millrace_jobs_ended_total 3\n",
  "module-function": "report of May\nfailed there is no function reports.weekly\n",
  "order-workflow": [
    "{",
    "  parcels: [ { parcel: 'P-book' }, { parcel: 'P-lamp' } ],",
    "  receipt: 'R1-500'",
    "}",
    "[ 'ada@example.org: Paid: R1-500, 2 parcels' ]",
    "failed ship all",
    "[ 'recalled P-book', 'released shelf 4', 'refunded R2-900' ]",
    "400 [ { orders: 2 } ]",
    "",
  ].join("\n"),
  "own-transaction": 'order 2: the customer changed their mind\n[{"id":1,"paid":true}]\n',
  "seeds/002-creating-a-worker": "running [ 'default' ]\n",
  "seeds/002-worker-tags": [
    "* hostname=… worker_id=… runtime=… arch=… os=…",
    "plain: [] [ \"no queue's tags match this worker's tags, so it runs nothing\" ]",
    "gpu: [ 'gpu_jobs' ]",
    "trained mill on gpu",
    "",
  ].join("\n"),
  "seeds/002-complete-worker": "worker-1 [ 'default', 'high_priority', 'low_priority' ]\npaged Ada\n",
  "seeds/004-custom-executor": "hello world\nfailed 2 broken\n",
  "serial-printer": [
    "paused: waits",
    "cube: { lines: 4 }",
    "vase: cancelled true true false",
    "boat: the printer stalled at STALL /dev/null",
    "",
  ].join("\n"),
  "web-server": '202 succeeded {"bytes":7}\n',
  "when-it-fails": [
    "reached Ada at attempt 3",
    'Job … ("call") failed after 1 attempt: no such customer',
    "report of May, attempt 1",
    "[ 1, 2, 3 ]",
    'Job … ("slow") was cancelled: no longer needed',
    "",
  ].join("\n"),
}

const runnable = Object.keys(expected).filter((name) => name !== "serial-printer" || hasTerminals())

test.each(runnable)("the example %s runs and prints what it says", async (example) => {
  expect(await run(example)).toBe(expected[example])
})

test("every example has its expected output here", () => {
  const modules = ["app.ts"] // for the command line, whose tests use it
  const folders = ["", "seeds/"]
  const files = folders.flatMap((folder) =>
    fs
      .readdirSync(path.join(root, "examples", folder))
      .flatMap((name) => (name.endsWith(".ts") && !modules.includes(name) ? folder + name : [])),
  )
  expect(files.map((name) => name.replace(/\.ts$/, "")).sort()).toEqual(Object.keys(expected).sort())
})

test("the README's first example is examples/quick-start.ts, and no longer than 30 lines", () => {
  const readme = fs.readFileSync(path.join(root, "README.md"), "utf8")
  const source = fs.readFileSync(path.join(root, "examples/quick-start.ts"), "utf8")
  expect(/```ts\n([\s\S]*?)```/.exec(readme)?.[1]).toBe(source)
  expect(source.trim().split("\n").length).toBeLessThanOrEqual(30)
})

test("the guide to plugins shows examples/guide-plugin.ts", () => {
  const guide = fs.readFileSync(path.join(root, "docs/writing-a-plugin.md"), "utf8")
  const source = fs.readFileSync(path.join(root, "examples/guide-plugin.ts"), "utf8")
  expect(guide).toContain("```ts\n" + source + "```")
})

// What the documentation says: generated pages are what the code says of itself, code in it compiles, links lead somewhere.
import { execFile } from "node:child_process"
import fs from "node:fs"
import path from "node:path"
import { promisify } from "node:util"
import { expect, onTestFinished, test } from "vitest"
import { renderDocs } from "../scripts/docs.mjs"

const root = path.resolve(import.meta.dirname, "..")
const pages = [
  "README.md",
  ...fs
    .readdirSync(path.join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
]
const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")

test("the pages of options and commands are what the code says: run `node scripts/docs.mjs` after a build", async () => {
  for (const [file, text] of Object.entries(await renderDocs())) expect(read(file)).toBe(text)
})

test("every relative link leads to a file", () => {
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)]
      .map(([, link]) => path.join(path.dirname(page), link!))
      .filter((file) => !fs.existsSync(path.join(root, file)))
      .map((file) => `${page}: ${file}`),
  )
  expect(broken).toEqual([])
})

const app =
  'import * as m from "millrace"\nimport * as w from "millrace/worker"\nconst app = new m.Millrace({ dsn: "" })\n'
const jobs = `import { defineJob } from "millrace"
const resize = defineJob<{ url: string; width: number }, { bytes: number }>({ name: "resize" })
const thumbnail = defineJob<{ url: string }>({ name: "thumbnail" })
const index = defineJob<string>({ name: "index" })
declare const url: string, id: string, signal: AbortSignal
`

/** What the snippets of a page take for granted. */
const settings: Readonly<Record<string, string>> = {
  "README.md": `${app}${jobs}
import { discard, age, state } from "millrace"
import { Worker, pruner, type Plugin } from "millrace/worker"
import { z } from "zod"
import type pg from "pg"
declare const client: pg.Client, payloads: { url: string; width: number }[], a: m.Reference, b: m.Reference
declare class NotFound extends Error {}
declare function migrateOldPayload(old: unknown): { url: string; width: number }
`,
  "docs/flow-control.md": `${app}${jobs}
const reindex = defineJob<{ shop: number }>({ name: "reindex" })
const sync = defineJob<{ account: number }>({ name: "sync" })
const newsletter = defineJob<{ url: string; width: number }>({ name: "newsletter" })
declare const payload: { url: string; width: number }, reference: m.Reference
`,
  "docs/executors.md": `${app}
import { Worker, commandExecutor, type Executor } from "millrace/worker"
declare function print(payload: unknown, signal: AbortSignal): Promise<unknown>
`,
  "docs/flows.md": `${app}${jobs}
import { defineFlow, flows, Millrace, type Flow } from "millrace"
import { Worker } from "millrace/worker"
import { z } from "zod"
import type pg from "pg"
declare const client: pg.Client, dsn: string, flow: Flow, input: { id: number; email: string }, runs: m.FlowsPlugin, job: m.Reference
declare const order: m.DefinedFlow<{ id: number; email: string }, unknown>
declare const payments: { charge(id: number, key: string): Promise<{ receipt: string }>; refund(id: number): Promise<void> }
declare const stock: { reserve(id: number): Promise<void>; release(id: number): Promise<void> }
`,
  "docs/job-logs.md": `${app}${jobs}declare function download(url: string): Promise<{ width: number; bytes: number }>\n`,
  "docs/errors-and-alerts.md": `${app}import nodemailer from "nodemailer"
import { alerts, defaultRules, email, webhook, type Alerts, type ErrorGroups } from "millrace/worker"
declare const url: string
`,
  "docs/finding-jobs.md": `${app}import { age, payload, priority, state } from "millrace"\n`,
  "docs/schedules.md": 'import { cron } from "millrace"\nconst schedules = cron()\n',
  "docs/triggers.md": `import { defineJob, triggers } from "millrace"
const welcome = defineJob<{ userId: number; mail: string }>({ name: "welcome" })
const pushes = triggers()
`,
  "docs/workflows.md": `import { defineJob, workflow, workflows, type Builder } from "millrace"
import type pg from "pg"
const flows = workflows()
const order = workflow("order", (w: Builder<{ id: string }>) => void w.sleep("a", 1))
const plan = defineJob<{ pages: number }>({ name: "plan" })
const fetchPage = defineJob<{ page: number; token: string }>({ name: "page" })
declare const client: pg.Client, id: string, input: { id: string }, inputs: { id: string }[]
`,
  "docs/web.md": app,
  "docs/writing-a-plugin.md": `${app}import { Worker } from "millrace/worker"\n`,
}

/** A block that imports is a module by itself; others stand inside what their page takes for granted. */
function moduleOf(page: string, block: string): string {
  if (/^import /m.test(block)) return block
  const setting = settings[page] ?? ""
  if (/^export /m.test(block)) return setting.replace(/^const resize.*$/m, "") + block
  return `${setting}\nexport async function snippet() {\n${block}\n}\n`
}

test("the TypeScript in the pages compiles", async () => {
  const folder = fs.mkdtempSync(path.join(root, "build", "snippets-"))
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }))
  for (const page of pages) {
    const blocks = [...read(page).matchAll(/```ts\n([\s\S]*?)```/g)].map(([, block]) => block!)
    blocks.forEach((block, index) => {
      const name = `${page.replaceAll(/[/.]/g, "-")}-${index + 1}.ts`
      fs.writeFileSync(path.join(folder, name), moduleOf(page, block))
    })
  }
  const config = {
    extends: "../../tsconfig.json",
    compilerOptions: { noEmit: true, noUnusedLocals: false, noUnusedParameters: false, noImplicitAny: false },
    include: ["*.ts"],
    exclude: [],
  }
  fs.writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify(config))
  const tsc = path.join(root, "node_modules", "typescript", "bin", "tsc")
  const run = promisify(execFile)(process.execPath, [tsc, "-p", folder])
  const problems = await run.then(
    () => "",
    (error: { stdout: string }) => error.stdout,
  )
  expect(problems).toBe("")
}, 120_000)

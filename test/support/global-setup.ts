// Once for a whole run of vitest: the compiled library and programs, and one PostgreSQL server for all test files.
import type { TestProject } from "vitest/node"
import { build } from "../../scripts/build.mjs"
import { startPostgres } from "../../tools/postgres.mjs"

declare module "vitest" {
  interface ProvidedContext {
    /** A superuser's URL; use `testDatabase()` rather than this database itself. */
    postgresUrl: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await buildUnlessDone()
  const postgres = await startPostgres()
  project.provide("postgresUrl", postgres.url)
  return postgres.stop
}

/** `npm test` has built already. In a bare `npx vitest`, type errors are shown, and what could be emitted is tested. */
async function buildUnlessDone(): Promise<void> {
  if (process.env.MILLRACE_BUILT) return
  const { code, output } = await build()
  if (code !== 0) process.stderr.write(`The build has errors; testing what it emitted.\n${output}\n`)
}

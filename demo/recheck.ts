// A folder in use does not stand still. Files that were written or removed while the passes ran are measured again, by a
// job and by the plain loop; a difference for any other reason stays one.
import { lstat } from "node:fs/promises"
import path from "node:path"
import type { Millrace } from "millrace"
import type pg from "pg"
import { differences } from "./compare.ts"
import type { Run } from "./job-pass.ts"
import { measure } from "./jobs.ts"
import { measurePatiently, type Measured } from "./plain-pass.ts"
import { codeOf } from "./problem.ts"
import { storedJobs } from "./totals.ts"

export interface Rechecked {
  all: Measured[]
  again: number
}

export async function recheck(
  app: Millrace,
  pool: pg.Pool,
  run: Run,
  all: readonly Measured[],
  stop: AbortSignal,
): Promise<Rechecked> {
  const jobs = await storedJobs(pool, run.tag)
  const changed = new Set<string>()
  for (const { file } of differences(jobs, all)) {
    if (await hasChanged(path.join(run.folder, file), run.since)) changed.add(file)
  }
  const references = await Promise.all([...changed].map((file) => runAgain(app, run, file, jobs.get(file)?.id)))
  await app.wait(references)
  const kept = all.filter(({ file }) => !changed.has(file))
  for (const file of changed) kept.push({ file, found: await measurePatiently(path.join(run.folder, file), stop) })
  return { all: kept, again: changed.size }
}

async function runAgain(app: Millrace, { folder, tag }: Run, file: string, id: string | undefined) {
  if (id === undefined) return app.push(measure, { folder, file }, { tags: [tag] })
  const reference = app.job(id)
  await reference.retry()
  return reference
}

async function hasChanged(file: string, since: number): Promise<boolean> {
  try {
    return (await lstat(file)).ctimeMs >= since
  } catch (error) {
    return codeOf(error) === "ENOENT"
  }
}

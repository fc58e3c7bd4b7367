import type { Context } from "../../client/context.ts"
import { migrate } from "../../postgres/migrate.ts"
import { webMigrations } from "./migrations.ts"

/**
 * Makes the plugin's tables where they are missing, once: a dashboard may be opened over an installation whose app has no
 * web plugin. Called before the first thing that needs one; fails again and again until somebody with the right has done it.
 */
export function tablesOf({ db, names }: Context): () => Promise<void> {
  let made: Promise<unknown> | undefined
  return async () => {
    made ??= migrate(db, names, {}, "web", webMigrations)
    await made.catch((error: unknown) => {
      made = undefined
      throw error
    })
  }
}

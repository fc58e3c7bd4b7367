import type { Command } from "./command.ts"
import { bulkCommands } from "./commands/bulk.ts"
import { jobCommands } from "./commands/job.ts"
import { migrateCommands } from "./commands/migrate.ts"
import { queueCommands } from "./commands/queue.ts"
import { scheduleCommands } from "./commands/schedule.ts"
import { webCommands } from "./commands/web.ts"
import { workerCommands } from "./commands/worker.ts"

/** Every command, in the order of the help. */
export const commands: readonly Command[] = [
  ...migrateCommands,
  ...workerCommands,
  ...webCommands,
  ...queueCommands,
  ...jobCommands,
  ...bulkCommands,
  ...scheduleCommands,
]

// A flow in a module of its own, for threads and processes.
import { threadId } from "node:worker_threads"
import { defineFlow } from "millrace"

export const away = defineFlow("away", async (flow, { schema }: { schema: string }) => {
  const where = await flow.step("where", () => `${process.pid} ${threadId}`)
  const row = await flow.transaction("write", async (tx) => {
    const { rows } = await tx.query<{ id: number }>(`insert into ${schema}.ledger default values returning id`)
    return rows[0]!.id
  })
  const word = await flow.waitFor<string>("word")
  return { where, row, word }
})

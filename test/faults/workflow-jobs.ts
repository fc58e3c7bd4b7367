// The workflows of the fault tests: ten steps in a row, and a wide one. What their handlers do stands in programs/workflow-worker.ts.
import { defineJob, workflow, type Builder } from "millrace"

const impatient = { maxAttempts: 20, backoff: { initial: 20, factor: 1.5, max: 200 } } as const

/** Counts on; kills its process the first time, where it is told to. */
export const count = defineJob<{ n: number; killAt: number }, number>({ name: "count", ...impatient })

/** Fails for good. */
export const refuse = defineJob<{ after: number }>({ name: "refuse", maxAttempts: 1 })

/** Notes an effect that is to be undone, and that it was. */
export const effect = defineJob<{ what: string }, string>({ name: "effect", ...impatient })

export const ten = workflow("ten", (w: Builder<{ killAt: number }>) => {
  let last = w.step("step-1", count, { n: 0, killAt: w.input.killAt })
  for (let n = 2; n <= 10; n++) last = w.step(`step-${n}`, count, { n: last, killAt: w.input.killAt })
  return last
})

/** An order that is refused at its end, and undone. */
export const undone = workflow(
  "undone",
  (w: Builder<{ items: string[] }>) => {
    const charged = w.step("charge", effect, { what: "charge" }).undo(effect, () => ({ what: "refund" }))
    const shipped = w
      .map("ship", effect, w.input.items, (item) => ({ what: w.text`ship ${item}` }), { after: charged, window: 2 })
      .undo(effect, (_, item) => ({ what: w.text`recall ${item}` }))
    w.step("refuse", refuse, { after: 1 }, { after: shipped })
  },
  { onFailure: "compensate" },
)

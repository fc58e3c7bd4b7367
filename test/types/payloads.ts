// Never run: `tsc --noEmit` is the test. What a payload may not have beside what its definition knows, and the two types
// of a result schema that transforms.
import { defineJob, type Millrace } from "millrace"
import { z } from "zod"

declare const app: Millrace
const thumbnail = defineJob({ name: "thumbnail", payload: z.object({ url: z.string() }) })
const measured = defineJob({
  name: "measured",
  payload: z.string(),
  result: z.string().transform((text) => text.length),
})

export async function misspelt(): Promise<void> {
  // @ts-expect-error a field is not known
  await app.push(thumbnail, { url: "x", widht: 5 })
  // @ts-expect-error a field of an item is not known
  await app.pushMany(thumbnail, [{ url: "x", widht: 5 }])
}

export const pushing = measured.handler(async (text, job) => {
  // @ts-expect-error a field is not known
  await job.push(thumbnail, { url: text, widht: 5 })
  return text // what the schema takes
})

export async function transformed(): Promise<number> {
  return await (await app.push(measured, "x")).result() // what it makes
}

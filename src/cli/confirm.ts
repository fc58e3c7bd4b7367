import { createInterface } from "node:readline/promises"
import { UsageError } from "./command.ts"

/**
 * Asks before something that cannot be taken back.
 *
 * @throws UsageError where nobody can answer.
 */
export async function confirmed(question: string, yes: boolean): Promise<boolean> {
  if (yes) return true
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new UsageError(`${question} Say --yes to go on; there is nobody to ask here.`)
  const asker = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await asker.question(`${question} [y/N] `)).trim())
  } finally {
    asker.close()
  }
}

export const yesOption = { yes: { type: "boolean", short: "y", doc: "Do not ask." } } as const

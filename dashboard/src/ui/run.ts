import { queryClient } from "../api/client.ts"
import { messageOf } from "../api/http.ts"
import { say } from "./toast.tsx"

/** Does something, says how it went, and asks again for what it changed. */
export async function run(what: () => Promise<unknown>, done: string, ...keys: string[]): Promise<void> {
  try {
    await what()
    say(done)
  } catch (error) {
    say(messageOf(error))
  }
  await Promise.all(keys.map((key) => queryClient.invalidateQueries({ queryKey: [key] })))
}

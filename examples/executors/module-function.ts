// An executor of one's own, in its smallest form: a plain object with one function. It runs functions of modules in the
// worker itself, one at a time. A job named "reports.monthly" calls `monthly` of the module registered as "reports".
import type { Executor } from "millrace/worker"

type Functions = Readonly<Record<string, (payload: never, signal: AbortSignal) => unknown>>

/** Only modules of this list are called: what stands in the database must not decide which code is loaded. */
export function moduleFunction(modules: Readonly<Record<string, object>>): Executor {
  return {
    needsHandler: false, // every job of the queue is for this executor, whatever its name
    async run({ name, payload, signal }) {
      const [module = "", fn = ""] = name.split(".")
      const found = (modules[module] as Functions | undefined)?.[fn]
      if (typeof found !== "function")
        return { ok: false, error: new Error(`there is no function ${name}`), final: true }
      return { ok: true, value: await found(payload as never, signal) }
    },
  }
}

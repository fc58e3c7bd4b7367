import { setTimeout as sleep } from "node:timers/promises"
import fs from "node:fs"
import { defineJob } from "millrace"
import { afterAll, beforeAll, describe } from "vitest"
import { moduleFunction } from "../../examples/executors/module-function.ts"
import { serialPrinter } from "../../examples/executors/serial-printer.ts"
import { simulatedPrinter, type SimulatedPrinter } from "../../examples/executors/simulated-printer.ts"
import { hasTerminals } from "../support/terminal.ts"
import { conformance } from "./conformance.ts"

describe("the example that runs functions of modules", () => {
  const behaviours = {
    succeed: () => "told to succeed",
    fail() {
      throw new Error("told to fail")
    },
    obey({ file }: { file: string }, signal: AbortSignal) {
      fs.writeFileSync(file, "0")
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)))
    },
    async deaf({ file }: { file: string }) {
      for (let count = 0; ; count++) {
        fs.writeFileSync(file, String(count))
        await sleep(5)
      }
    },
  }
  const jobs = Object.keys(behaviours).map((name) =>
    defineJob<{ file: string }>({ name: `behave.${name}`, queue: "work", backoff: { initial: 0 } }),
  )
  conformance({
    queue: { executor: "functions" },
    worker: { executors: { functions: moduleFunction({ behave: behaviours }) } },
    push: (app, what, file) =>
      app.push(
        jobs.find(({ name }) => name === `behave.${what}`)!,
        { file },
        { maxAttempts: what === "fail" ? 2 : 1 },
      ),
    result: "told to succeed",
    hardStop: false,
  })
})

describe.skipIf(!hasTerminals())("the example that prints over a serial line", () => {
  let hardware: SimulatedPrinter
  const executors: Record<string, ReturnType<typeof serialPrinter>> = {}
  beforeAll(async () => {
    hardware = await simulatedPrinter()
    executors.printer = serialPrinter(hardware.device)
  })
  afterAll(() => hardware.unplug())

  const print = defineJob<{ gcode: string[] }>({ name: "print", queue: "work", backoff: { initial: 0 } })
  const programs = {
    succeed: () => ["G28", "G1 X10"],
    fail: () => ["FAIL told to fail"],
    obey: (file: string) => [`M117 ${file}`, "G4 P1000000"],
    deaf: (file: string) => [`M117 ${file}`, `STALL ${file}`],
  }
  conformance({
    queue: { executor: "printer" },
    worker: { executors },
    push: (app, what, file) =>
      app.push(print, { gcode: programs[what](file) }, { maxAttempts: what === "fail" ? 2 : 1 }),
    result: { lines: 2 },
    hardStop: true,
  })
})

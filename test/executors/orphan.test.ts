import { spawn } from "node:child_process"
import fs from "node:fs"
import path from "node:path"
import { expect, test } from "vitest"
import { until } from "../support/until.ts"
import { scratchFile, written } from "./conformance.ts"

const program = path.resolve(import.meta.dirname, "../../build/test/executors/orphan.js")

test("a process whose job spins ends by itself when its worker was killed", async () => {
  const file = scratchFile()
  const worker = spawn(process.execPath, [program, file], { stdio: "inherit" })
  await until("the job spins", () => written(file))
  const pid = Number(written(file)!.split(" ")[0])
  expect(alive(pid)).toBe(true)
  worker.kill("SIGKILL")
  await until("its process is gone", () => !alive(pid))
})

/** A process that has ended may still be in the table until somebody asks for its status. */
function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

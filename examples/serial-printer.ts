// Printing: G-code jobs over a serial line, paused, resumed, cancelled, and tried again when the printer stalls.
import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"
import { serialPrinter, type Print } from "./executors/serial-printer.ts"
import { simulatedPrinter } from "./executors/simulated-printer.ts"

const print = defineJob<Print, { lines: number }>({ name: "print", queue: "printer", maxAttempts: 2 })

const hardware = await simulatedPrinter() // a real one is "/dev/ttyUSB0"
const printer = serialPrinter(hardware.device, 500)

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  queues: [{ name: "printer", executor: "printer" }],
})
await app.migrate()
await using worker = new Worker(app, { executors: { printer }, grace: "300ms" })
await worker.start()

const sent = (code: string) => hardware.received.includes(code)
const seen = async (what: () => boolean) => {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 5))
}

// Pausing: the line that is under way is finished, and nothing follows until it is resumed.
const cube = await app.push(print, { gcode: ["G28", "G4 P100", "G1 X10", "G1 Y10"] })
await seen(() => sent("G4 P100"))
printer.pause()
await new Promise((resolve) => setTimeout(resolve, 200))
console.log("paused:", sent("G1 X10") ? "goes on" : "waits")
printer.resume()
console.log("cube:", await cube.result({ timeout: "10s" }))

// Cancelling: the movement is stopped, and the heaters are off before the job ends.
const vase = await app.push(print, { gcode: ["G4 P3600000", "G1 Z99"] })
await seen(() => sent("G4 P3600000"))
await vase.cancel("wrong colour")
console.log(
  "vase:",
  (await app.wait([vase], { timeout: "10s" }))[0]!.state,
  sent("M410"),
  sent("M104 S0"),
  sent("G1 Z99"),
)

// Stalling: no answer in time is a failed attempt, like any other.
const boat = await app.push(print, { gcode: ["STALL /dev/null"] }, { maxAttempts: 1 })
console.log("boat:", (await app.wait([boat], { timeout: "10s" }))[0]!.errors[0]!.message)
hardware.unplug()

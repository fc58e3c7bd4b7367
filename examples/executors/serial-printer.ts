// Jobs that are no code at all: lists of G-code, sent over a serial line to a 3D printer that answers each with "ok".
// A job may take hours; it can be paused, resumed and cancelled, and a printer that stalls is noticed.
import fs from "node:fs"
import { createInterface } from "node:readline"
import tty from "node:tty"
import type { Attempt, Executor, Report } from "millrace/worker"

export interface SerialPrinter extends Executor {
  /** Sends nothing more until `resume`; what the printer does now, it finishes. */
  pause(): void
  resume(): void
}

export interface Print {
  readonly gcode: readonly string[]
}

const clearEmergency = "M999"
const quickStop = "M410"
const heatersOff = ["M104 S0", "M140 S0"]
const emergencyStop = "M112"

/**
 * @param device the serial line, such as "/dev/ttyUSB0" (its speed is set by `stty`).
 * @param stallAfter milliseconds without an answer after which the printer is taken to have stalled.
 */
export function serialPrinter(device: string, stallAfter = 60_000): SerialPrinter {
  let line: SerialLine | undefined
  let paused: Promise<void> | undefined
  let resume = () => {}

  async function print(attempt: Attempt): Promise<Report> {
    const { gcode } = attempt.payload as Print
    const { signal } = attempt
    const port = (line = openLine(device, stallAfter))
    const stop = () => port.write(quickStop)
    try {
      await port.send(clearEmergency)
      signal.addEventListener("abort", stop)
      for (const [index, code] of gcode.entries()) {
        await Promise.race([paused, aborted(signal)])
        if (signal.aborted) break
        await port.send(code)
        attempt.progress((index + 1) / gcode.length)
      }
      if (signal.aborted) for (const code of heatersOff) await port.send(code)
      return signal.aborted ? { ok: false, error: signal.reason } : { ok: true, value: { lines: gcode.length } }
    } catch (error) {
      return { ok: false, error: signal.aborted ? signal.reason : error }
    } finally {
      signal.removeEventListener("abort", stop)
      port.close()
    }
  }

  return {
    needsHandler: false,
    run: print,
    kill() {
      line?.write(emergencyStop)
      line?.close()
    },
    pause() {
      paused ??= new Promise((resolve) => (resume = resolve))
    },
    resume() {
      paused = undefined
      resume()
    },
  }
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener("abort", () => resolve(), { once: true })
  })

interface SerialLine {
  /** Sends a command and waits for the printer's "ok". */
  send(code: string): Promise<void>
  write(code: string): void
  close(): void
}

function openLine(device: string, stallAfter: number): SerialLine {
  const { O_RDWR, O_NOCTTY } = fs.constants
  const stream = new tty.ReadStream(fs.openSync(device, O_RDWR | O_NOCTTY))
  let waiting: { resolve(): void; reject(error: Error): void } | undefined
  const answer = (error?: Error) => {
    const asked = waiting
    waiting = undefined
    if (error) asked?.reject(error)
    else asked?.resolve()
  }
  createInterface({ input: stream }).on("line", (text) => {
    if (text === "ok") answer()
    else if (text.startsWith("Error:")) answer(new Error(`the printer says: ${text.slice(6).trim()}`))
  })
  stream.on("error", (error) => answer(error))
  stream.on("close", () => answer(new Error("the line to the printer was closed")))
  return {
    async send(code) {
      const stalled = setTimeout(() => answer(new Error(`the printer stalled at ${code}`)), stallAfter)
      await new Promise<void>((resolve, reject) => {
        waiting = { resolve, reject }
        stream.write(`${code}\n`)
      }).finally(() => clearTimeout(stalled))
    },
    write: (code) => void stream.write(`${code}\n`),
    close: () => void setImmediate(() => stream.destroy()), // after what was written last
  }
}

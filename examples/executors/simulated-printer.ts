// A printer at the other end of a pseudo-terminal, for trying things out without one. Node cannot make a pseudo-terminal by
// itself; `script`, which is on every Linux (util-linux), makes one: what is written to its device comes out here.
import { spawn } from "node:child_process"
import fs from "node:fs"
import { createInterface } from "node:readline"

export interface SimulatedPrinter {
  readonly device: string
  /** Every line it was sent. */
  readonly received: readonly string[]
  unplug(): void
}

/*
 * It answers "ok" to each line, and knows what real ones (Marlin) know:
 *   G4 P<ms>  moves for so long, then "ok"; M410 ends that at once     M112  stops everything, and answers no more
 *   M117 <file>  its display: writes "0" to that file                 M999  works again
 * and for tests:  STALL <file>  never answers, whatever M410 says, and counts in the file;  FAIL <text>  is an error
 */
export async function simulatedPrinter(): Promise<SimulatedPrinter> {
  const shell = "stty raw -echo; tty; exec sleep 3600"
  const terminal = spawn("script", ["-qfc", shell, "/dev/null"], { stdio: ["pipe", "pipe", "ignore"] })
  const received: string[] = []
  let moving: NodeJS.Timeout | undefined
  let stalling: NodeJS.Timeout | undefined
  const say = (text: string) => void terminal.stdin.write(`${text}\n`)
  const arrive = () => {
    clearTimeout(moving)
    moving = undefined
    say("ok")
  }
  const stall = (file: string) => {
    let count = 0
    stalling = setInterval(() => fs.writeFileSync(file, String((count += 1))), 5)
  }
  const obey = (text: string) => {
    received.push(text)
    const [code, rest = ""] = text.split(/ (.*)/s)
    if (code === "M410") return moving && arrive()
    if (code === "M112" || code === "M999") clearInterval(stalling)
    if (code === "M112") return clearTimeout(moving)
    if (code === "STALL") return stall(rest)
    if (code === "FAIL") return say(`Error:${rest}`)
    if (code === "M117") fs.writeFileSync(rest, "0")
    if (code === "G4") moving = setTimeout(arrive, Number(rest.slice(1)))
    else say("ok")
  }
  const lines = createInterface({ input: terminal.stdout })
  const device = await new Promise<string>((resolve, reject) => {
    terminal.once("error", reject)
    lines.once("line", (text) => resolve(text.trim()))
  })
  lines.on("line", obey)
  const unplug = () => {
    clearTimeout(moving)
    clearInterval(stalling)
    terminal.kill("SIGKILL")
  }
  return { device, received, unplug }
}

// The one owner of stdout: lines, a bar redrawn in place below them on a terminal, and colour where it is welcome.
import process from "node:process"

export type Paint = Record<"bold" | "dim" | "red" | "green" | "yellow" | "cyan", (text: string) => string>

export interface Screen {
  /** A terminal that can redraw a line. */
  readonly live: boolean
  readonly columns: () => number
  readonly paint: Paint
  line(text?: string): void
  /** Replaces the line at the bottom; only on a live screen. */
  bottom(text: string): void
  /** Clears the bar or the prompt at the bottom. */
  clear(): void
  /** What to draw again after a line was written above it: a prompt. */
  prompt: (() => void) | undefined
}

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 }

export function openScreen(out: NodeJS.WriteStream = process.stdout, env = process.env): Screen {
  const live = out.isTTY && env.TERM !== "dumb"
  let bottom = ""
  const screen: Screen = {
    live,
    columns: () => out.columns || 80,
    paint: paintFor(live && !env.NO_COLOR),
    prompt: undefined,
    line(text = "") {
      const clear = bottom === "" && !screen.prompt ? "" : "\r\x1b[K"
      out.write(`${clear}${text}\n${bottom}`)
      screen.prompt?.()
    },
    clear() {
      if (bottom !== "" || screen.prompt) out.write("\r\x1b[K")
      bottom = ""
      screen.prompt = undefined
    },
    bottom(text) {
      if (!live || (text === "" && bottom === "")) return
      bottom = text
      out.write(`\r\x1b[K${text}`)
    },
  }
  return screen
}

function paintFor(coloured: boolean): Paint {
  const entries = Object.entries(codes).map(([name, code]) => [
    name,
    (text: string) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text),
  ])
  return Object.fromEntries(entries) as Paint
}

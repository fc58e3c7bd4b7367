// The process that a dashboard runs in: started as its users start it, ended once it has been measured.
import { spawn, type ChildProcess } from "node:child_process"
import { createServer } from "node:net"
import { enlist } from "../crew.ts"
import { until } from "../stage.ts"

export interface Host {
  close(): Promise<void>
}

/** Starts a program and waits until it answers. */
export async function startHost(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
  answers: () => Promise<boolean>,
): Promise<Host> {
  const child = spawn(program, args, {
    env: { ...process.env, NODE_ENV: "production", ...env },
    stdio: ["ignore", "ignore", "inherit"],
  })
  enlist(child)
  const gone = ended(child)
  const close = async () => {
    child.kill("SIGTERM")
    const overdue = setTimeout(() => child.kill("SIGKILL"), 5_000)
    await gone
    clearTimeout(overdue)
  }
  try {
    await until(
      `${program} ${args[0]} to answer`,
      async () => {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${program} ${args[0]} has ended`)
        return answers()
      },
      50,
    )
    return { close }
  } catch (error) {
    await close()
    throw error
  }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => resolve()).once("error", () => resolve())
  })
}

export const answersAt = (url: string) => (): Promise<boolean> =>
  fetch(url).then(
    async (response) => {
      await response.arrayBuffer()
      return response.status < 500
    },
    () => false,
  )

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0))
    })
  })
}

// A Redis server of one's own for bull-board: on loopback, in memory only, from the machine's redis-server.
import { spawnSync } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePort, startHost } from "./host.ts"

export interface Redis {
  readonly port: number
  readonly version: string
  close(): Promise<void>
}

/** Undefined: there is no redis-server on this machine. */
export async function startRedis(): Promise<Redis | undefined> {
  const version = /v=([\d.]+)/.exec(spawnSync("redis-server", ["--version"], { encoding: "utf8" }).stdout ?? "")?.[1]
  if (version === undefined) return undefined
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), "millrace-redis-"))
  const settings = { port: String(port), bind: "127.0.0.1", save: "", appendonly: "no", dir: folder }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  const host = await startHost("redis-server", args, {}, () => listens(port))
  const close = async () => {
    await host.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { port, version, close }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1")
    const tell = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once("connect", () => tell(true)).once("error", () => tell(false))
  })
}

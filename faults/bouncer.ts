// PgBouncer in transaction mode, where the machine has it (Debian: `apt-get install pgbouncer`).
import { spawn, spawnSync } from "node:child_process"
import fs from "node:fs"
import net from "node:net"
import os from "node:os"
import path from "node:path"
import { pause } from "./crew.ts"

export function hasBouncer(): boolean {
  return spawnSync("pgbouncer", ["--version"]).status === 0
}

export async function startBouncer(url: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const target = new URL(url)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "millrace-bouncer-"))
  const port = await freePort()
  fs.writeFileSync(path.join(folder, "users.txt"), `"${target.username}" ""\n`)
  fs.writeFileSync(path.join(folder, "pgbouncer.ini"), settings(target, folder, port))
  // It refuses to run as root.
  const root = process.getuid?.() === 0
  const identity = root ? { uid: nobody("-u"), gid: nobody("-g") } : {}
  if (root) for (const name of ["", "users.txt", "pgbouncer.ini"]) fs.chownSync(path.join(folder, name), identity.uid!, identity.gid!) // prettier-ignore
  const child = spawn("pgbouncer", [path.join(folder, "pgbouncer.ini")], { ...identity, cwd: "/", stdio: "ignore" })
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()))
  const kill = () => void child.kill("SIGKILL")
  process.once("exit", kill)
  await answers(port)
  const through = new URL(url)
  through.port = String(port)
  return {
    url: through.href,
    async stop() {
      kill()
      await gone
      process.off("exit", kill)
      fs.rmSync(folder, { recursive: true, force: true })
    },
  }
}

const settings = ({ hostname, port, pathname }: URL, folder: string, own: number): string => `[databases]
${pathname.slice(1)} = host=${hostname} port=${port} dbname=${pathname.slice(1)}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = trust
auth_file = ${path.join(folder, "users.txt")}
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
`

const nobody = (flag: string): number => Number(spawnSync("id", [flag, "nobody"], { encoding: "utf8" }).stdout)

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })
}

async function answers(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () => (socket.destroy(), resolve(true)))
      socket.on("error", () => resolve(false))
    })
    if (open) return
    await pause(50)
  }
  throw new Error("PgBouncer does not answer")
}

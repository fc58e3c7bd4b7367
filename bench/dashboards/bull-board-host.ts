// The server that bull-board's documentation shows, in a process of its own: node bull-board-host.js REDIS_PORT PORT
import { importPeer } from "../peers.ts"
import { QUEUES } from "./board.ts"

interface Modules {
  express: { default: () => { use(path: string, router: unknown): void; listen(port: number, host: string): void } }
  api: { createBullBoard(options: object): void }
  adapter: { BullMQAdapter: new (queue: unknown) => unknown }
  server: { ExpressAdapter: new () => { setBasePath(path: string): void; getRouter(): unknown } }
  bullmq: { Queue: new (name: string, options: object) => unknown }
}

const load = (module: string) => importPeer("bull-board", module)
const { express, api, adapter, server, bullmq } = {
  express: await load("express"),
  api: await load("@bull-board/api"),
  adapter: await load("@bull-board/api/bullMQAdapter"),
  server: await load("@bull-board/express"),
  bullmq: await load("bullmq"),
} as Modules

const [redisPort, port] = process.argv.slice(2).map(Number) as [number, number]
const basePath = "/admin/queues"
const serverAdapter = new server.ExpressAdapter()
serverAdapter.setBasePath(basePath)
const connection = { host: "127.0.0.1", port: redisPort }
const queues = Array.from(
  { length: QUEUES },
  (_, index) => new adapter.BullMQAdapter(new bullmq.Queue(`queue-${index}`, { connection })),
)
api.createBullBoard({ queues, serverAdapter })
const app = express.default()
app.use(basePath, serverAdapter.getRouter())
app.listen(port, "127.0.0.1")

import { leadership, type Plugin } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"
import { TcpProxy } from "../support/tcp-proxy.ts"

test("an outage of the database degrades no plugin, and somebody leads soon after it", async () => {
  const { url, schema, log, addApp } = await startApp({ worker: false })
  const proxy = await TcpProxy.start(url)
  const app = addApp({ dsn: proxy.through(url), schema, logger: log })
  const { Worker } = await import("millrace/worker")
  let rounds = 0
  const asking: Plugin = {
    name: "asking",
    async run(ctx) {
      do {
        await ctx.db.query("select 1")
        rounds += 1
      } while (await ctx.sleep(20))
    },
  }
  const worker = new Worker(app, { lease: "60s", plugins: [asking, leadership({ lease: "900ms", every: "100ms" })] })
  await worker.start()
  await until(() => worker.leads && rounds > 0)
  proxy.refuse()
  proxy.cut()
  await until(() => log.lines.filter(({ message }) => message.includes('plugin "asking"')).length >= 6)
  expect(worker.leads).toBe(false)
  const health = () => worker.health().plugins.map(({ name, state, crashes }) => [name, state, crashes])
  expect(health().map(([, , crashes]) => crashes)).toEqual([0, 0, 0, 0, 0])
  proxy.heal()
  const before = rounds
  await until(() => worker.leads && rounds > before)
  await worker.forceStop()
  await proxy.close()
}, 60_000)

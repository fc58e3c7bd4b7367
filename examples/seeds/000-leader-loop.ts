// Seed 000: a plugin that runs on one worker of the cluster, told of each round of the leader.
import { Millrace } from "millrace"
import { Worker, type Plugin } from "millrace/worker"

function example(): Plugin {
  let remove = () => {}
  return {
    name: "example",
    scope: "leader",
    onStart(ctx) {
      remove = ctx.hub.on("leadership.loop", () => console.log("I'm the leader!"))
    },
    onStop: () => remove(),
  }
}

await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false })
await app.migrate()
await using worker = new Worker(app, { plugins: [example()] })
await worker.start()
await app.hub.waitFor("leadership.loop", { timeout: "20s" })

// Seed 001: an app with the plugins that every installation needs. Here they are there by themselves; naming them changes
// nothing, and is the place to configure them.
import { Millrace } from "millrace"
import { leadership, pruner, recovery, Worker } from "millrace/worker"

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  plugins: [pruner(), recovery(), leadership()],
})
await app.migrate()

await using worker = new Worker(app)
await worker.start()
console.log(worker.health().plugins.map(({ name }) => name))

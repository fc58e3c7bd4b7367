import { defineJob, Millrace } from "millrace"
import { options, Worker, type Plugin } from "millrace/worker"

const backlogOptions = {
  every: options.duration({ default: "1m", min: 50, doc: "How often it counts." }),
}

// Writes down, each minute, how many jobs wait in each queue: on one worker, in a table of its own, with a route to read it.
function backlog(given?: { every?: string | number }): Plugin {
  const { every } = options.parseOptions("backlog", backlogOptions, given, { interval: "every" })
  return {
    name: "backlog",
    scope: "leader",
    tables: ["backlog"],
    migrations: [
      {
        version: 1,
        up: (names) => [
          `create table ${names.of("backlog")} (at timestamptz not null default now(), queue text, waiting integer)`,
        ],
        down: (names) => [`drop table ${names.of("backlog")}`],
      },
    ],
    async run(ctx) {
      while (await ctx.sleep(every)) {
        // Commits only while this worker leads, so that no minute is written twice.
        await ctx.asLeader((tx) =>
          tx.query(
            `insert into ${ctx.table("backlog")} (queue, waiting)
             select queue, count(*) from ${ctx.table("jobs")} where state <> 'running' group by queue`,
          ),
        )
      }
    },
    async cleanup(ctx) {
      await ctx.db.query(`delete from ${ctx.table("backlog")} where at < now() - interval '30 days'`)
    },
    routes: [
      {
        method: "GET",
        path: "/latest",
        permission: "jobs:read",
        async handle(_, ctx) {
          const { rows } = await ctx.db.query(
            `select queue, waiting from ${ctx.table("backlog")} order by at desc limit 1`,
          )
          return Response.json(rows)
        },
      },
    ],
  }
}

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  plugins: [backlog({ every: "100ms" })],
})
await app.migrate() // makes the plugin's table, too
await app.pushMany(defineJob<number>({ name: "job" }), [1, 2], { delay: "1h" })

await using worker = new Worker(app)
await worker.start()

let rows: unknown[] = []
while (rows.length === 0) {
  const response = await worker.route(new Request("http://localhost/plugins/backlog/latest"))!
  rows = (await response.json()) as unknown[]
}
console.log(rows)

import { migrationSql } from "../../index.ts"
import { UsageError, type Call, type Command } from "../command.ts"
import { confirmed } from "../confirm.ts"

export const migrateCommands: readonly Command[] = [
  {
    name: "migrate",
    summary: "Creates or upgrades the tables; `status` tells where they are, `down` removes everything",
    args: "[up|down|status]",
    least: 0,
    most: 1,
    options: {
      to: { type: "string", value: "VERSION", doc: "Version to go to. Default: the newest." },
      sql: { type: "boolean", doc: "Print the statements of a fresh installation instead; no database is needed." },
      yes: { type: "boolean", short: "y", doc: "With `down`: do not ask." },
    },
    examples: [
      "millrace migrate",
      "millrace migrate status",
      "millrace migrate --sql > millrace.sql",
      "millrace migrate down --yes",
    ],
    run: migrate,
  },
]

async function migrate(call: Call): Promise<number> {
  const [what = "up"] = call.args
  if (!["up", "down", "status"].includes(what))
    throw new UsageError(`migrate up, down or status, not ${JSON.stringify(what)}`)
  if (call.flag("sql")) {
    process.stdout.write(migrationSql(call.text("schema") ?? "millrace"))
    return 0
  }
  if (what === "status") return status(call)
  if (what === "down" && !(await confirmedDown(call))) return 1
  const app = await call.app()
  const to = what === "down" ? (versionOf(call) ?? 0) : versionOf(call)
  const { from, to: reached } = await app.migrate(to === undefined ? {} : { to })
  call.out.document({ from, to: reached })
  call.out.line(from === reached ? `up to date (version ${reached})` : `migrated from version ${from} to ${reached}`)
  return 0
}

async function status(call: Call): Promise<number> {
  const { current, needed } = await (await call.app()).schemaVersion()
  call.out.document({ current, needed })
  call.out.line(
    current === needed
      ? `up to date (version ${current})`
      : `at version ${current}, this release needs ${needed}: run millrace migrate`,
  )
  return current === needed ? 0 : 1
}

function confirmedDown(call: Call): Promise<boolean> {
  return confirmed("Remove the tables and every job in them?", call.flag("yes"))
}

function versionOf(call: Call): number | undefined {
  const given = call.text("to")
  if (given === undefined) return undefined
  if (!/^\d+$/.test(given)) throw new UsageError(`--to is a version number, not ${JSON.stringify(given)}`)
  return Number(given)
}

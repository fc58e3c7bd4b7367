import { compare } from "../../../model/rule.ts"
import { checkName } from "../../../model/name.ts"
import { isUuid } from "../../../lib/uuid.ts"
import { countMatches } from "../facets.ts"
import { actions, type ActionName } from "../operation-actions.ts"
import { listOperations, readOperation, stopOperation, type OperationRow } from "../operation-store.ts"
import { booleanField, idParam, intField, onlyFields, textField, textsField } from "../params.ts"
import { badRequest, notFound, refuse } from "../problem.ts"
import { reply, type Call, type Route } from "../route.ts"
import { readSearch, type Search } from "../search.ts"

/** Acting on many jobs at once, by ids or by a search. */

const mostIds = 10_000

async function start(call: Call): Promise<Response> {
  const fields = await call.fields()
  onlyFields(fields, ["action", "ids", "q", "dryRun", "expected", "limit", "reason", "queue", "priority"])
  const action = actionOf(fields.action)
  const { permission, undoable } = actions[action]
  await call.require(permission)
  const search = await chosen(call, fields)
  const input = await inputOf(call, action, fields)
  const total = await totalOf(call, search, fields)
  const expected = intField(fields, "expected", 0, Number.MAX_SAFE_INTEGER)
  const { recycleBin } = call.site.options
  const canUndo = undoable && !total.capped && total.value <= recycleBin
  if (booleanField(fields, "dryRun") === true) return reply(200, { dryRun: true, action, total, undoable: canUndo })
  if (expected !== undefined && !total.capped && total.value > expected) {
    throw refuse(409, "MILLRACE_UNEXPECTED", `${total.value} jobs match now, more than the ${expected} expected.`, {
      total,
      expected,
    })
  }
  const limit = intField(fields, "limit", 1, Number.MAX_SAFE_INTEGER) ?? (total.capped ? undefined : expected)
  const { visitor } = call.known
  const row = await call.site.operations.start({
    action,
    rule: search.rule,
    scan: search.scan,
    input,
    total,
    limit,
    visitor,
    permission,
  })
  call.note({ target: row.id, after: { action, total, ...input } })
  return reply(202, viewOf(row, call), {
    location: `${call.site.options.basePath === "/" ? "" : call.site.options.basePath}/api/v1/operations/${row.id}`,
  })
}

function actionOf(given: unknown): ActionName {
  if (typeof given === "string" && Object.hasOwn(actions, given)) return given as ActionName
  throw badRequest(`action: one of ${Object.keys(actions).join(", ")}.`)
}

/** Which jobs. A search by its ids is a search as well: what narrows the visitor narrows it. */
async function chosen(call: Call, fields: Readonly<Record<string, unknown>>): Promise<Search> {
  const ids = textsField(fields, "ids", mostIds)
  if ((ids === undefined) === (fields.q === undefined)) throw badRequest('Give either ids or q; q: "" means every job.')
  if (ids === undefined) return readSearch(call, fields.q === "" ? "" : textField(fields, "q", true))
  const wrong = ids.find((id) => !isUuid(id))
  if (wrong !== undefined) throw badRequest(`ids: ${JSON.stringify(wrong.slice(0, 50))} is no id.`)
  const search = await readSearch(call, "")
  const rule = compare("id", "in", ids)
  return { ...search, scan: false, rule: call.scope ? rule.and(call.scope) : rule }
}

async function inputOf(
  call: Call,
  action: ActionName,
  fields: Readonly<Record<string, unknown>>,
): Promise<Readonly<Record<string, unknown>>> {
  const which = fields.q === undefined ? { ids: (fields.ids as unknown[]).length } : { q: fields.q }
  if (action === "cancel")
    return { ...which, reason: textField(fields, "reason") ?? `cancelled by ${call.known.visitor.name}` }
  if (action === "move") {
    const queue = textField(fields, "queue", true)
    checkName("queue", queue)
    // Whoever may not see the other queue may not put anything there.
    await call.require("jobs:edit", { queue })
    return { ...which, queue }
  }
  if (action === "reprioritize") {
    const priority = intField(fields, "priority", -1_000_000, 1_000_000)
    if (priority === undefined) throw badRequest("priority: a whole number; higher runs first.")
    return { ...which, priority }
  }
  return which
}

const totalOf = async (call: Call, search: Search, fields: Readonly<Record<string, unknown>>) =>
  Array.isArray(fields.ids) && !call.scope
    ? { value: new Set(fields.ids).size, capped: false }
    : countMatches(call.site, search)

function viewOf(row: OperationRow, call: Call) {
  const { recycleBin } = call.site.options
  const known = Object.hasOwn(actions, row.action) ? actions[row.action as ActionName] : undefined
  const ended = row.state !== "running"
  return {
    id: row.id,
    action: row.action,
    input: row.input,
    undoes: row.undoes,
    undoneBy: row.undone_by,
    createdBy: row.created_by,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
    state: row.state,
    total: { value: row.total, capped: !row.total_exact },
    matched: row.matched,
    changed: row.changed,
    refused: row.refused,
    refusals: row.refusals,
    error: row.error,
    stopping: row.stop && !ended,
    /** Jobs that an undo would bring back. */
    undoable: known?.undoable === true && row.undone_by === null && row.kept > 0 ? row.kept : 0,
    recycleBin,
  }
}

/** One's own operations, or with the right to read the audit all. @throws Refused. */
async function operationOf(call: Call): Promise<OperationRow> {
  const { db, names } = call.site.context
  await call.site.ready()
  const row = await readOperation(db, names, idParam(call.params, "such operation"))
  if (!row || (call.scope && row.created_by !== call.known.visitor.name)) throw notFound("such operation")
  return row
}

async function list(call: Call) {
  await call.site.ready()
  const { db, names } = call.site.context
  const rows = await listOperations(db, names, call.scope ? call.known.visitor.name : undefined, 100)
  return { operations: rows.map((row) => viewOf(row, call)) }
}

const permissionFor = (row: OperationRow): string => {
  const action = (row.action === "undo" ? row.input.action : row.action) as ActionName
  return Object.hasOwn(actions, action) ? actions[action].permission : "jobs:edit"
}

async function stop(call: Call) {
  const row = await operationOf(call)
  await call.require(permissionFor(row))
  await stopOperation(call.site.context.db, call.site.context.names, row.id)
  call.note({ before: { state: row.state }, after: { stop: true } })
  return viewOf(await operationOf(call), call)
}

async function undo(call: Call): Promise<Response> {
  const row = await operationOf(call)
  await call.require(permissionFor(row))
  if (row.state === "running") throw refuse(409, "MILLRACE_STILL_RUNNING", "It still runs; stop it first.")
  if (row.kept === 0) throw refuse(409, "MILLRACE_NO_UNDO", "Nothing of it can be undone.")
  const started = await call.site.operations.startUndo(row, call.known.visitor)
  if (!started) throw refuse(409, "MILLRACE_NO_UNDO", "It has been undone already.")
  call.note({ after: { undo: started.id } })
  return reply(202, viewOf(started, call))
}

export const operationRoutes: readonly Route[] = [
  {
    method: "POST",
    path: "/operations",
    permission: "operations:read",
    summary: "Acts on many jobs, on the server; with dryRun only counts. Needs the permission of the action as well",
    body: {
      type: "object",
      required: ["action"],
      properties: {
        action: { enum: Object.keys(actions) },
        ids: { type: "array", items: { type: "string" } },
        q: { type: "string" },
        dryRun: { type: "boolean" },
        expected: { type: "integer", description: "Refused when more match now" },
        limit: { type: "integer" },
        reason: { type: "string", description: "Of cancel" },
        queue: { type: "string", description: "Of move" },
        priority: { type: "integer", description: "Of reprioritize" },
      },
    },
    status: 202,
    handle: start,
  },
  { method: "GET", path: "/operations", permission: "operations:read", summary: "The newest operations", handle: list },
  {
    method: "GET",
    path: "/operations/:id",
    permission: "operations:read",
    summary: "How far an operation is",
    handle: async (call) => viewOf(await operationOf(call), call),
  },
  {
    method: "POST",
    path: "/operations/:id/stop",
    permission: "operations:read",
    summary: "Stops it between two chunks",
    handle: stop,
  },
  {
    method: "POST",
    path: "/operations/:id/undo",
    permission: "operations:read",
    summary: "Makes jobs again what they were, as far as nothing has happened to them since",
    status: 202,
    handle: undo,
  },
]

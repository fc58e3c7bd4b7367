import { recordOf } from "../../../client/record.ts"
import { patchOf } from "../../../client/update.ts"
import type { JobRecord } from "../../../model/job.ts"
import { compare } from "../../../model/rule.ts"
import { findPage, type First } from "../../../postgres/find.ts"
import { updateJob } from "../../../postgres/jobs.ts"
import { deleteJobsIn } from "../../../postgres/bulk.ts"
import { ifMatch } from "../if-match.ts"
import { attemptsOf, jobDetail, jobRow, versionOf } from "../job-view.ts"
import { idParam, intField, intParam, momentField, onlyFields, textField, textParam, textsField } from "../params.ts"
import { badRequest, notFound, refuse } from "../problem.ts"
import { restored } from "../redact.ts"
import { reply, type Call, type Route } from "../route.ts"
import { readSearch, searchPage, termsOf } from "../search.ts"
import { facets } from "../facets.ts"
import { readable } from "../site.ts"
import { suggest } from "../suggest.ts"

/** The job of a request, as far as the visitor may see it. @throws Refused: what one may not see does not exist. */
export async function jobOf(call: Call, permission = "jobs:read"): Promise<JobRecord> {
  const id = idParam(call.params, "such job")
  const { site, scope } = call
  const job = scope ? await within(call, id) : await site.app.job(id).get()
  if (!job) throw notFound("such job")
  await call.require(permission, { job, queue: job.queue })
  return job
}

async function within({ site: { context }, scope }: Call, id: string): Promise<JobRecord | undefined> {
  const rule = compare("id", "eq", id).and(scope!)
  const [row] = await findPage(context.db, context.names, { rule, limit: 1, before: undefined })
  return row && recordOf(row)
}

const shown = (call: Call, job: JobRecord): JobRecord => call.site.redact.job(job, call.known.visitor)

const detail = (call: Call, job: JobRecord, status = 200): Response => {
  const view = jobDetail(shown(call, job))
  const version = versionOf(job)
  return reply(status, { ...view, version }, { etag: version })
}

const sorts: Readonly<Record<string, First | undefined>> = { "-created": "newest", created: "oldest" }

async function list(call: Call): Promise<unknown> {
  const { query, site } = call
  const first = sorts[textParam(query, "sort") ?? "-created"]
  if (!first)
    throw badRequest('sort: "-created", newest first, or "created", oldest first. No index has another order.')
  const search = await readSearch(call, textParam(query, "q") ?? "")
  const limit = intParam(query, "limit", 50, 1, 200)
  const page = await searchPage(site, search, { limit, cursor: textParam(query, "cursor"), first })
  const jobs = await readable(site, call.known.visitor, page.jobs)
  return {
    jobs: jobs.map((job) => jobRow(shown(call, job))),
    cursor: page.cursor,
    bounded: page.bounded,
    terms: termsOf(search),
  }
}

async function push(call: Call): Promise<Response> {
  const fields = await call.fields()
  onlyFields(fields, ["name", "payload", "options"])
  const name = textField(fields, "name", true)
  const given = fields.options ?? {}
  if (typeof given !== "object" || Array.isArray(given)) throw badRequest("options: an object.")
  const options = pushOptions(given as Record<string, unknown>)
  return pushed(call, name, fields.payload, options)
}

function pushOptions(given: Readonly<Record<string, unknown>>) {
  onlyFields(given, ["queue", "priority", "runAt", "maxAttempts", "uniqueKey", "tags"])
  const options = {
    queue: textField(given, "queue"),
    priority: intField(given, "priority", -1_000_000, 1_000_000),
    runAt: momentField(given, "runAt"),
    maxAttempts: intField(given, "maxAttempts", 1, 1_000_000),
    uniqueKey: textField(given, "uniqueKey"),
    tags: textsField(given, "tags", 100),
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

async function pushed(
  call: Call,
  name: string,
  payload: unknown,
  options: Readonly<Record<string, unknown>>,
): Promise<Response> {
  const { site, known } = call
  // Whoever sees only some rows could push what it may not see, and push into other people's.
  if (known.visitor.rule)
    throw refuse(403, "MILLRACE_FORBIDDEN", "A visitor with a rule of its own cannot push jobs here.")
  const queue = (options.queue as string | undefined) ?? (await defaultQueue(call, name))
  await call.require("jobs:push", { queue })
  const reference = await site.app.pushByName(name, payload, { ...options, queue })
  call.note({ target: reference.id, after: site.redact.value({ name, payload, options }) })
  return reply(reference.duplicate ? 200 : 201, { id: reference.id, duplicate: reference.duplicate })
}

async function defaultQueue({ site: { context } }: Call, name: string): Promise<string> {
  const { rows } = await context.db.query<{ queue: string | null }>(
    `select kind ->> 'queue' as queue from ${context.names.of("definitions")} where name = $1`,
    [name],
  )
  return rows[0]?.queue ?? "default"
}

async function edit(call: Call): Promise<Response> {
  const job = await jobOf(call, "jobs:edit")
  const fields = await call.fields()
  onlyFields(fields, ["payload", "priority", "runAt"])
  const priority = intField(fields, "priority", -1_000_000, 1_000_000)
  const runAt = momentField(fields, "runAt")
  const changes = {
    ...(priority === undefined ? {} : { priority }),
    ...(runAt === undefined ? {} : { runAt }),
    ...("payload" in fields ? { payload: restored(fields.payload, job.payload) } : {}),
  }
  const { names, maxPayload, notices } = call.site.context
  const patch = patchOf(changes, maxPayload)
  const row = await ifMatch(call, job, (tx) => updateJob(tx, names, null, job.id, patch))
  if (!row) throw refuse(409, "MILLRACE_JOB_RUNNING", `Job ${job.id} is running or has finished, so it stays as it is.`)
  notices.send({ kind: row.state === "pending" ? "ready" : "later", about: row.queue })
  return changed(call, job)
}

/** Notes what was and what is, and answers with it. */
async function changed(call: Call, before: JobRecord): Promise<Response> {
  const after = await call.site.app.job(before.id).get()
  call.note({ before: summary(shown(call, before)), after: after && summary(shown(call, after)) })
  if (!after) return reply(200, { id: before.id })
  return detail(call, after)
}

const summary = ({ state, queue, priority, runAt, payload }: JobRecord) => ({ state, queue, priority, runAt, payload })

async function remove(call: Call): Promise<Response> {
  const job = await jobOf(call, "jobs:delete")
  const [gone] = await ifMatch(call, job, (tx) => deleteJobsIn(tx, call.site.context.names, [job.id]))
  if (!gone) throw notFound("such job")
  if (gone.outcome !== "deleted")
    throw refuse(409, "MILLRACE_JOB_RUNNING", `Job ${job.id} is running; cancel it before deleting it.`)
  call.note({ before: jobDetail(shown(call, job)) })
  return reply(204, null)
}

async function act(call: Call, permission: string, run: (job: JobRecord) => Promise<unknown>): Promise<Response> {
  const job = await jobOf(call, permission)
  await run(job)
  return changed(call, job)
}

const retry = (call: Call) => act(call, "jobs:retry", (job) => call.site.app.job(job.id).retry())

const runNow = (call: Call) => act(call, "jobs:run", (job) => call.site.app.job(job.id).update({ runAt: "in 0ms" }))

async function cancel(call: Call): Promise<Response> {
  const fields = await call.fields()
  onlyFields(fields, ["reason"])
  const reason = textField(fields, "reason") ?? `cancelled by ${call.known.visitor.name}`
  return act(call, "jobs:cancel", async (job) => {
    const outcome = await call.site.app.job(job.id).cancel(reason)
    if (outcome === "finished")
      throw refuse(409, "MILLRACE_JOB_FINISHED", "The job has finished, so it stays as it is.")
  })
}

async function snooze(call: Call): Promise<Response> {
  const fields = await call.fields()
  onlyFields(fields, ["for", "until"])
  const runAt = "for" in fields ? `in ${textField(fields, "for", true)}` : momentField(fields, "until")
  if (runAt === undefined) throw badRequest('for: how long, such as "10m"; or until: a time.')
  return act(call, "jobs:edit", (job) => call.site.app.job(job.id).update({ runAt }))
}

async function clone(call: Call): Promise<Response> {
  const job = await jobOf(call, "jobs:read")
  const fields = await call.fields()
  onlyFields(fields, ["payload", "options"])
  const own = pushOptions((fields.options ?? {}) as Record<string, unknown>)
  const options = {
    queue: job.queue,
    priority: job.priority,
    maxAttempts: job.maxAttempts,
    tags: [...job.tags],
    ...own,
  }
  return pushed(call, job.name, "payload" in fields ? restored(fields.payload, job.payload) : job.payload, options)
}

async function attempts(call: Call) {
  const job = await jobOf(call)
  return { attempts: attemptsOf(shown(call, job)) }
}

async function logs(call: Call) {
  const job = await jobOf(call)
  const after = intParam(call.query, "after", 0, 0, Number.MAX_SAFE_INTEGER)
  const limit = intParam(call.query, "limit", 1_000, 1, 5_000)
  const lines = await call.site.app.job(job.id).logs({ after, limit })
  return { lines: lines.map((line) => ({ ...line, fields: call.site.redact.value(line.fields) })) }
}

/** Why it does not run. Another part of the app knows, where it is there. */
async function explain(call: Call) {
  const job = await jobOf(call)
  const { app } = call.site as unknown as { app: { explain?: (id: string) => Promise<unknown> } }
  if (typeof app.explain === "function") return app.explain(job.id)
  return { state: job.state, reasons: [] }
}

const jobBody = {
  type: "object",
  required: ["name"],
  properties: {
    name: { type: "string" },
    payload: {},
    options: {
      type: "object",
      properties: {
        queue: { type: "string" },
        priority: { type: "integer" },
        runAt: { type: "string", description: 'ISO text, or "in 10m"' },
        maxAttempts: { type: "integer" },
        uniqueKey: { type: "string" },
        tags: { type: "array", items: { type: "string" } },
      },
    },
  },
}

export const jobRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/jobs",
    permission: "jobs:read",
    summary: "A page of jobs, newest or oldest first",
    query: {
      q: "The search",
      cursor: "Where the page before ended",
      limit: "1 to 200, default 50",
      sort: "-created (newest first, the default) or created (oldest first)",
    },
    handle: list,
  },
  {
    method: "GET",
    path: "/jobs/facets",
    permission: "jobs:read",
    summary: "How many jobs match, by state, queue and name; counted as far as that takes a moment",
    query: { q: "The search" },
    handle: facets,
  },
  {
    method: "GET",
    path: "/jobs/suggest",
    permission: "jobs:read",
    summary: "Completions of a value in the search field",
    query: { field: "state, name, queue, worker, tag, payload or meta", prefix: "What is there so far" },
    handle: suggest,
  },
  {
    method: "POST",
    path: "/jobs",
    permission: "jobs:push",
    summary: "Pushes a job by its name",
    body: jobBody,
    status: 201,
    handle: push,
  },
  {
    method: "GET",
    path: "/jobs/:id",
    permission: "jobs:read",
    summary: "One job",
    handle: async (call) => detail(call, await jobOf(call)),
  },
  {
    method: "PATCH",
    path: "/jobs/:id",
    permission: "jobs:edit",
    summary: "Changes a waiting job; with If-Match only the version that was seen",
    body: {
      type: "object",
      properties: { payload: {}, priority: { type: "integer" }, runAt: { type: "string" } },
    },
    handle: edit,
  },
  {
    method: "DELETE",
    path: "/jobs/:id",
    permission: "jobs:delete",
    summary: "Deletes a job for good; with If-Match only the version that was seen",
    status: 204,
    handle: remove,
  },
  {
    method: "GET",
    path: "/jobs/:id/attempts",
    permission: "jobs:read",
    summary: "Its attempts, oldest first",
    handle: attempts,
  },
  {
    method: "GET",
    path: "/jobs/:id/logs",
    permission: "jobs:read",
    summary: "Lines of its log",
    query: { after: "Number of the last line that is known", limit: "1 to 5,000, default 1,000" },
    handle: logs,
  },
  { method: "GET", path: "/jobs/:id/explain", permission: "jobs:read", summary: "Why it waits", handle: explain },
  { method: "POST", path: "/jobs/:id/retry", permission: "jobs:retry", summary: "Runs it again", handle: retry },
  {
    method: "POST",
    path: "/jobs/:id/run-now",
    permission: "jobs:run",
    summary: "Makes a waiting job ready",
    handle: runNow,
  },
  {
    method: "POST",
    path: "/jobs/:id/cancel",
    permission: "jobs:cancel",
    summary: "Cancels it",
    body: { type: "object", properties: { reason: { type: "string" } } },
    handle: cancel,
  },
  {
    method: "POST",
    path: "/jobs/:id/clone",
    permission: "jobs:push",
    summary: "Pushes another one like it",
    body: { type: "object", properties: { payload: {}, options: jobBody.properties.options } },
    status: 201,
    handle: clone,
  },
  {
    method: "POST",
    path: "/jobs/:id/snooze",
    permission: "jobs:edit",
    summary: "Lets a waiting job wait longer",
    body: { type: "object", properties: { for: { type: "string" }, until: { type: "string" } } },
    handle: snooze,
  },
]

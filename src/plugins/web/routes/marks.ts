import { uuidv7 } from "../../../lib/uuid.ts"
import { idParam, momentParam, onlyFields, textField } from "../params.ts"
import { badRequest, notFound } from "../problem.ts"
import { reply, type Call, type Route } from "../route.ts"

/** Marks on the charts: what was deployed or changed, and when. */

interface MarkRow {
  id: string
  at: Date
  text: string
  created_by: string
}

const columns = "id, at, text, created_by"

const viewOf = ({ created_by, ...mark }: MarkRow) => ({ ...mark, createdBy: created_by })

async function list(call: Call) {
  await call.site.ready()
  const { db, names } = call.site.context
  const { rows } = await db.query<MarkRow>(
    `select ${columns} from ${names.of("web_marks")}
     where at >= coalesce($1::timestamptz, now() - interval '90 days') and at <= coalesce($2::timestamptz, 'infinity')
     order by at desc, id desc limit 200`,
    [momentParam(call.query, "from") ?? null, momentParam(call.query, "to") ?? null],
  )
  return { marks: rows.map(viewOf) }
}

async function create(call: Call): Promise<Response> {
  const fields = await call.fields()
  onlyFields(fields, ["text", "at"])
  const text = textField(fields, "text", true)
  if (text.length > 200) throw badRequest("text: at most 200 characters.")
  const at = textField(fields, "at")
  const moment = at === undefined ? null : new Date(at)
  if (moment && Number.isNaN(moment.getTime())) throw badRequest("at: ISO text; without it, now.")
  await call.site.ready()
  const { db, names } = call.site.context
  const { rows } = await db.query<MarkRow>(
    `insert into ${names.of("web_marks")} (id, at, text, created_by) values ($1, coalesce($2::timestamptz, now()), $3, $4) returning ${columns}`,
    [uuidv7(), moment, text, call.known.visitor.name],
  )
  const mark = viewOf(rows[0]!)
  call.note({ target: mark.id, after: mark })
  return reply(201, mark)
}

async function remove(call: Call): Promise<Response> {
  await call.site.ready()
  const { db, names } = call.site.context
  const { rows } = await db.query<MarkRow>(`delete from ${names.of("web_marks")} where id = $1 returning ${columns}`, [
    idParam(call.params, "such mark"),
  ])
  if (!rows[0]) throw notFound("such mark")
  call.note({ before: viewOf(rows[0]) })
  return reply(204, null)
}

export const markRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/marks",
    permission: "marks:read",
    summary: "Marks on the charts, newest first",
    query: { from: "ISO text; default 90 days ago", to: "ISO text" },
    handle: list,
  },
  {
    method: "POST",
    path: "/marks",
    permission: "marks:write",
    summary: "Marks a moment on the charts, such as a deployment",
    body: {
      type: "object",
      required: ["text"],
      properties: { text: { type: "string" }, at: { type: "string", description: "ISO text; default now" } },
    },
    status: 201,
    handle: create,
  },
  {
    method: "DELETE",
    path: "/marks/:id",
    permission: "marks:write",
    summary: "Removes a mark",
    status: 204,
    handle: remove,
  },
]

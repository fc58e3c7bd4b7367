import { integer, oneOf, parseOptions, text, type OptionsInput } from "../../lib/options.ts"
import { describe } from "../../lib/error.ts"
import { isMillraceError } from "../../model/errors.ts"
import type { PluginContext, PluginRoute } from "../../model/plugin.ts"
import { errorStates, findGroup, listGroups, setState, type ErrorState } from "./queries.ts"

/** What `errors.list` and the route take. */
export const listOptions = {
  /** Only these. Default: all. */
  state: oneOf(errorStates, { doc: "Only these. Default: all." }),
  /** Only those that affect jobs of this name. */
  name: text({ doc: "Only those that affect jobs of this name." }),
  /** Only those that affect jobs in this queue. */
  queue: text({ doc: "Only those that affect jobs in this queue." }),
  /** Most groups of a page. */
  limit: integer({ default: 50, min: 1, max: 500, doc: "Most groups of a page." }),
  /** Of the page before. */
  cursor: text({ doc: "Of the page before." }),
}

export type ListOptions = OptionsInput<typeof listOptions>

type Params = Readonly<Record<string, string>>

export const routes: readonly PluginRoute[] = [
  {
    method: "GET",
    path: "/groups",
    permission: "errors:read",
    handle: (request, { db, names }) => answered(() => listGroups(db, names, filterOf(request))),
  },
  {
    method: "GET",
    path: "/groups/:fingerprint",
    permission: "errors:read",
    handle: (_, { db, names }, { fingerprint }) => answered(() => findGroup(db, names, fingerprint!)),
  },
  change("resolve", "resolved"),
  change("ignore", "ignored"),
  change("reopen", "open"),
]

function change(verb: string, state: ErrorState): PluginRoute {
  return {
    method: "POST",
    path: `/groups/:fingerprint/${verb}`,
    permission: "errors:write",
    handle: (_, { db, names }: PluginContext, { fingerprint }: Params) =>
      answered(() => setState(db, names, fingerprint!, state)),
  }
}

function filterOf(request: Request) {
  const { limit, ...given } = Object.fromEntries(new URL(request.url).searchParams)
  return parseOptions("errors.list", listOptions, { ...given, ...(limit !== undefined && { limit: Number(limit) }) })
}

/** JSON, or `{ code, message }` for what was asked for wrongly; anything else is the server's failure. */
async function answered(run: () => Promise<unknown>): Promise<Response> {
  try {
    return Response.json(await run())
  } catch (error) {
    if (!isMillraceError(error)) throw error
    const { code } = error
    const status = code === "MILLRACE_UNKNOWN_ERROR" ? 404 : /_BAD_|UNKNOWN_OPTION/.test(code) ? 400 : 503
    return Response.json({ code, message: describe(error) }, { status })
  }
}

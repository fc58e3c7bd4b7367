import { openApiOf } from "../openapi.ts"
import type { Route } from "../route.ts"
import { adminRoutes } from "./admin.ts"
import { eventRoutes } from "./events.ts"
import { jobRoutes } from "./jobs.ts"
import { markRoutes } from "./marks.ts"
import { metaRoutes } from "./meta.ts"
import { operationRoutes } from "./operations.ts"
import { queueRoutes } from "./queues.ts"
import { sessionRoutes } from "./session.ts"

/** The table of all routes. What is not in it does not exist. */
export const routes: readonly Route[] = [
  ...metaRoutes,
  ...sessionRoutes,
  ...jobRoutes,
  ...operationRoutes,
  ...queueRoutes,
  ...markRoutes,
  ...adminRoutes,
  ...eventRoutes,
  {
    method: "GET",
    path: "/openapi.json",
    permission: "visitor",
    summary: "This document",
    handle: ({ site }) => openApiOf(routes, site),
  },
]

// The pages, where they are and how one gets there.
import { lazy, type ComponentType, type LazyExoticComponent } from "react"
import type { IconName } from "../ui/icon.tsx"

type PageComponent = ComponentType<{ params: Record<string, string> }>

export interface Page {
  pattern: string
  title: string
  component: LazyExoticComponent<PageComponent> | PageComponent
}

const page = (load: () => Promise<{ default: PageComponent }>) => lazy(load)

const overview = page(() => import("../pages/overview.tsx"))
const jobs = page(() => import("../pages/jobs.tsx"))

export const pages: readonly Page[] = [
  { pattern: "/", title: "Overview", component: overview },
  { pattern: "/jobs", title: "Jobs", component: jobs },
  { pattern: "/jobs/:id", title: "Job", component: page(() => import("../pages/job.tsx")) },
  { pattern: "/errors", title: "Errors", component: page(() => import("../pages/errors.tsx")) },
  { pattern: "/errors/:fingerprint", title: "Error", component: page(() => import("../pages/error-group.tsx")) },
  { pattern: "/queues", title: "Queues", component: page(() => import("../pages/queues.tsx")) },
  { pattern: "/queues/:name", title: "Queue", component: page(() => import("../pages/queue.tsx")) },
  { pattern: "/workflows", title: "Workflows", component: page(() => import("../pages/workflows.tsx")) },
  { pattern: "/workflows/:id", title: "Workflow", component: page(() => import("../pages/workflow.tsx")) },
  { pattern: "/flows", title: "Flows", component: page(() => import("../pages/flows.tsx")) },
  { pattern: "/flows/:id", title: "Flow", component: page(() => import("../pages/flow.tsx")) },
  { pattern: "/schedules", title: "Schedules", component: page(() => import("../pages/schedules.tsx")) },
  { pattern: "/schedules/:key", title: "Schedule", component: page(() => import("../pages/schedule.tsx")) },
  { pattern: "/workers", title: "Workers", component: page(() => import("../pages/workers.tsx")) },
  { pattern: "/workers/:id", title: "Worker", component: page(() => import("../pages/worker.tsx")) },
  { pattern: "/metrics", title: "Metrics", component: page(() => import("../pages/metrics.tsx")) },
  { pattern: "/alerts", title: "Alerts", component: page(() => import("../pages/alerts.tsx")) },
  { pattern: "/audit", title: "Audit", component: page(() => import("../pages/audit.tsx")) },
  { pattern: "/database", title: "Database", component: page(() => import("../pages/database.tsx")) },
  { pattern: "/settings", title: "Settings", component: page(() => import("../pages/settings.tsx")) },
]

export interface Entry {
  to: string
  title: string
  icon: IconName
  /** After "g". */
  letter: string
  /** Shown only to those who hold it. */
  needs?: string
}

export const entries: readonly Entry[] = [
  { to: "/", title: "Overview", icon: "overview", letter: "o" },
  { to: "/jobs", title: "Jobs", icon: "jobs", letter: "j" },
  { to: "/errors", title: "Errors", icon: "errors", letter: "e" },
  { to: "/queues", title: "Queues", icon: "queues", letter: "q" },
  { to: "/workflows", title: "Workflows", icon: "workflows", letter: "w" },
  { to: "/flows", title: "Flows", icon: "flows", letter: "f" },
  { to: "/schedules", title: "Schedules", icon: "schedules", letter: "s" },
  { to: "/workers", title: "Workers", icon: "workers", letter: "n" },
  { to: "/metrics", title: "Metrics", icon: "metrics", letter: "m" },
]

export const lowerEntries: readonly Entry[] = [
  { to: "/alerts", title: "Alerts", icon: "alerts", letter: "a" },
  { to: "/database", title: "Database", icon: "database", letter: "d" },
  { to: "/audit", title: "Audit", icon: "audit", letter: "u", needs: "audit:read" },
  { to: "/settings", title: "Settings", icon: "settings", letter: "," },
]

export const isHere = (to: string, path: string): boolean =>
  to === "/" ? path === "/" : path === to || path.startsWith(`${to}/`)

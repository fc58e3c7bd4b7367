import type { MetricKind } from "../../model/metrics.ts"

/** Every metric that is measured without being asked: its kind, its unit, and what it says. */

export type Unit = "ms" | "s" | "bytes" | "ratio"

export interface Metric {
  readonly kind: MetricKind
  readonly unit?: Unit
  readonly help: string
  /** How gauges of several series become one; default: added up. */
  readonly merge?: "max"
}

export const catalogue = {
  "jobs.ended": { kind: "counter", help: "Attempts that ended, by outcome." },
  "jobs.wait": { kind: "histogram", unit: "ms", help: "From ready to the start of the handler." },
  "jobs.run": { kind: "histogram", unit: "ms", help: "From the start of the handler to its end." },
  "jobs.settle": { kind: "histogram", unit: "ms", help: "From the handler's end until the database has confirmed it." },
  "jobs.recovered": { kind: "counter", help: "Jobs taken back from workers that were lost." },
  "claims.jobs": { kind: "histogram", help: "Jobs that a claim got." },
  "claims.time": {
    kind: "histogram",
    unit: "ms",
    help: "Round trip of a claim, with the settlements that travel along.",
  },
  "worker.up": { kind: "gauge", help: "Workers that measure." },
  "worker.running": { kind: "gauge", help: "Jobs that run." },
  "worker.slots": { kind: "gauge", help: "Jobs that may run at a time." },
  "worker.waiting": { kind: "gauge", help: "Claimed jobs that wait for a slot." },
  "worker.loop_blocked": {
    kind: "gauge",
    unit: "ms",
    merge: "max",
    help: "Longest that the event loop was blocked lately.",
  },
  "worker.clock_difference": {
    kind: "gauge",
    unit: "ms",
    merge: "max",
    help: "The machine's clock minus the database's.",
  },
  "queue.depth": { kind: "gauge", help: "Unfinished jobs by state; over 10,000 an estimate." },
  "queue.oldest": { kind: "gauge", unit: "s", merge: "max", help: "How long the oldest ready job has waited." },
  "db.table_bytes": { kind: "gauge", unit: "bytes", help: "Size of a table, with what is stored out of line." },
  "db.index_bytes": { kind: "gauge", unit: "bytes", help: "Size of a table's indexes." },
  "db.rows": { kind: "gauge", help: "Rows of a table, by PostgreSQL's own estimate." },
  "db.dead_rows": { kind: "gauge", help: "Row versions that vacuum has yet to take away." },
  "db.oldest_transaction": { kind: "gauge", unit: "s", merge: "max", help: "Age of the oldest open transaction." },
  "db.notification_queue": {
    kind: "gauge",
    unit: "ratio",
    merge: "max",
    help: "Share of the notification queue in use.",
  },
  "db.connections": { kind: "gauge", help: "Connections to this database, by state." },
  "db.connections_all": { kind: "gauge", merge: "max", help: "Connections to all databases of the server." },
  "db.connections_most": { kind: "gauge", merge: "max", help: "Connections that the server allows." },
} as const satisfies Readonly<Record<string, Metric>>

export type BuiltIn = keyof typeof catalogue

export const described = (name: string): Metric | undefined => (catalogue as Readonly<Record<string, Metric>>)[name]

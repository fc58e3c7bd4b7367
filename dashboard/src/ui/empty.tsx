import type { ReactNode } from "react"
import { Code } from "./copy.tsx"

/** Nothing here yet, and the code that changes it. */
export function Empty({ title, children, code }: { title: string; children?: ReactNode; code?: string }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {code && <Code>{code}</Code>}
    </div>
  )
}

const howTo: Record<string, { title: string; text: string; code: string }> = {
  cron: {
    title: "Schedules are not switched on",
    text: "The cron plugin pushes jobs at their times, once in the whole cluster, with daylight saving handled.",
    code: `import { cron, Millrace } from "millrace"\n\nconst app = new Millrace({ dsn, plugins: [cron()] })`,
  },
  workflow: {
    title: "Workflows are not switched on",
    text: "The workflow plugin runs jobs as the steps of a graph, each after those it depends on.",
    code: `import { Millrace, workflows } from "millrace"\n\nconst app = new Millrace({ dsn, plugins: [workflows()] })`,
  },
  flow: {
    title: "Flows are not switched on",
    text: "The flow plugin runs durable functions: code whose steps are remembered, and which may sleep for days.",
    code: `import { flows, Millrace } from "millrace"\n\nconst app = new Millrace({ dsn, plugins: [flows()] })`,
  },
  metrics: {
    title: "Metrics are not switched on",
    text: "The metrics plugin counts and times every job, kept in PostgreSQL from one minute to ninety days.",
    code: `import { Millrace } from "millrace"\nimport { metrics } from "millrace/worker"\n\nconst app = new Millrace({ dsn, plugins: [metrics()] })`,
  },
  errors: {
    title: "The error inbox is not switched on",
    text: "The errors plugin groups failures by what went wrong, so that a thousand failures of one kind are one line.",
    code: `import { Millrace } from "millrace"\nimport { errorGroups } from "millrace/worker"\n\nconst app = new Millrace({ dsn, plugins: [errorGroups()] })`,
  },
  alerts: {
    title: "Alerts are not switched on",
    text: "The alerts plugin watches backlog, failures, workers and schedules, and tells a webhook, Slack or e-mail.",
    code: `import { Millrace } from "millrace"\nimport { alerts } from "millrace/worker"\n\nconst app = new Millrace({\n  dsn,\n  plugins: [alerts({ rules: [{ name: "backlog", kind: "backlog", above: "10m" }] })],\n})`,
  },
}

/** What a page says whose plugin is not there. */
export function SwitchOn({ plugin }: { plugin: string }) {
  const told = howTo[plugin] ?? { title: `The ${plugin} plugin is not switched on`, text: "", code: "" }
  return (
    <div className="card">
      <Empty title={told.title} code={told.code}>
        {told.text} Add it to the app, run <code>millrace migrate</code> and restart the workers.
      </Empty>
    </div>
  )
}

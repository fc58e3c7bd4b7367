import { useQuery } from "@tanstack/react-query"
import { listGroups, setGroup, type ErrorGroup, type ErrorState } from "../api/errors.ts"
import { useHas, useMay } from "../api/meta.ts"
import { compact } from "../format.ts"
import { Link, setParams, useParam } from "../router.ts"
import { Button } from "../ui/button.tsx"
import { Empty, SwitchOn } from "../ui/empty.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { run } from "../ui/run.ts"
import { WordBadge } from "../ui/state.tsx"
import { Table, type Col } from "../ui/table.tsx"
import { Ago } from "../ui/time.tsx"

const tabs: readonly { state: ErrorState; title: string }[] = [
  { state: "open", title: "Open" },
  { state: "resolved", title: "Resolved" },
  { state: "ignored", title: "Ignored" },
]

export default function ErrorsPage() {
  const has = useHas()
  return has("errors") ? (
    <Inbox />
  ) : (
    <Page title="Errors">
      <SwitchOn plugin="errors" />
    </Page>
  )
}

function Inbox() {
  const may = useMay()
  const state = useParam("state", "open") as ErrorState
  const data = useQuery({ queryKey: ["errors", state], queryFn: () => listGroups(state), refetchInterval: 10_000 })
  const cols: Col<ErrorGroup>[] = [
    { title: "Error", cell: (group) => <What group={group} /> },
    { title: "Times", right: true, cell: (group) => compact(group.count) },
    { title: "First seen", right: true, wide: true, cell: (group) => <Ago at={group.firstSeen} /> },
    { title: "Last seen", right: true, cell: (group) => <Ago at={group.lastSeen} /> },
    { title: "Do", right: true, wide: true, cell: (group) => (may("errors:write") ? <Triage group={group} /> : null) },
  ]
  return (
    <Page
      title="Errors"
      actions={
        <div className="segments" role="group" aria-label="State">
          {tabs.map((tab) => (
            <button
              key={tab.state}
              type="button"
              aria-pressed={state === tab.state}
              onClick={() => setParams({ state: tab.state }, { replace: true })}
            >
              {tab.title}
            </button>
          ))}
        </div>
      }
    >
      <Await of={data}>
        {({ groups }) => (
          <Card flush>
            {groups.length === 0 ? (
              <Empty title={state === "open" ? "No open errors" : `Nothing is ${state}`}>
                Failures of jobs come here, those of one kind as one line.
              </Empty>
            ) : (
              <Table
                label="Errors"
                rows={groups}
                cols={cols}
                keyOf={(group) => group.fingerprint}
                to={(group) => `/errors/${group.fingerprint}`}
                keys
              />
            )}
          </Card>
        )}
      </Await>
    </Page>
  )
}

function What({ group }: { group: ErrorGroup }) {
  return (
    <span className="what">
      <WordBadge word={group.state === "open" && group.reopenedAt ? "reopened" : group.state} />
      <Link className="bad" to={`/errors/${group.fingerprint}`}>
        {group.name}
      </Link>
      <span className="cut">{group.message}</span>
    </span>
  )
}

export function Triage({ group, large = false }: { group: ErrorGroup; large?: boolean }) {
  const set = (verb: "resolve" | "ignore" | "reopen", done: string) => (
    <Button
      key={verb}
      small={!large}
      kind={large ? undefined : "ghost"}
      onClick={() => void run(() => setGroup(group.fingerprint, verb), done, "errors", "error")}
    >
      {verb === "resolve" ? "Resolve" : verb === "ignore" ? "Ignore" : "Reopen"}
    </Button>
  )
  if (group.state !== "open") return set("reopen", "It is open again.")
  return (
    <span className="row tight">
      {set("resolve", "Resolved; it opens again should it occur again.")}
      {set("ignore", "Ignored.")}
    </span>
  )
}

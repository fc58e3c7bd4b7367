import { useRef, useState } from "react"
import { parseQuery } from "../../../src/model/query.ts"
import type { JobRow } from "../api/jobs.ts"
import { useMay } from "../api/meta.ts"
import type { BulkAction, Target } from "../api/operations.ts"
import { number, plural } from "../format.ts"
import { JobDetail } from "../job/detail.tsx"
import { BulkDialog, bulkWords } from "../jobs/bulk.tsx"
import { usualColumns, columns as allColumns } from "../jobs/columns.tsx"
import { FacetChoices, Facets } from "../jobs/facets.tsx"
import { useJobList, type JobList, type ListState } from "../jobs/job-list.ts"
import { PushDialog } from "../jobs/push.tsx"
import { SaveView } from "../jobs/save-view.tsx"
import { useSelection, type Selection } from "../jobs/selection.ts"
import { JobTable } from "../jobs/table.tsx"
import { useNews, useTopics } from "../live/events.ts"
import { prefer, usePreferences } from "../preferences.ts"
import { QueryField, Terms } from "../query/field.tsx"
import { jobAt, navigate, setParams, useParam } from "../router.ts"
import { useKeys, type Keymap } from "../shell/keys.ts"
import { Button } from "../ui/button.tsx"
import { Empty } from "../ui/empty.tsx"
import { Problem, Skeleton } from "../ui/loading.tsx"
import { Menu } from "../ui/menu.tsx"
import { useNarrow } from "../ui/narrow.ts"
import { Ago } from "../ui/time.tsx"

const search = (q: string) => setParams({ q, sel: null, panel: null })
const openPanel = (job: JobRow | undefined) => setParams({ panel: job?.id ?? null }, { replace: true })

export default function JobsPage() {
  const q = useParam("q")
  const panel = useParam("panel")
  const push = useParam("push") !== ""
  const may = useMay()
  const { list, state } = useJobList(q)
  const selection = useSelection()
  const [cursor, setCursor] = useState(-1)
  const [bulk, setBulk] = useState<{ action: BulkAction; target: Target }>()
  const visible = useRef<readonly string[]>([])
  useLiveList(list, q, visible)
  const begin = (action: BulkAction, target?: Target) => {
    const job = state.jobs[cursor]
    const chosen = target ?? (selection.ids.size > 0 ? { ids: [...selection.ids] } : job && { ids: [job.id] })
    if (chosen && may(bulkWords[action].needs)) setBulk({ action, target: chosen })
  }
  const anchor = useRef(-1)
  const toggle = (index: number, range: boolean) => {
    select(selection, state, anchor.current, index, range)
    anchor.current = index
    setCursor(index)
  }
  useListKeys({ state, cursor, setCursor, toggle, begin, panel, selection })
  return (
    <div className={`page jobs-page${panel ? " with-panel" : ""}`}>
      <div className="list-side">
        <header>
          <h1>Jobs</h1>
          <span className="grow" />
          <SaveView q={q} />
          <ColumnMenu />
          {may("jobs:push") && (
            <Button icon="plus" onClick={() => setParams({ push: "1" })}>
              Push a job
            </Button>
          )}
        </header>
        <div className="query-row">
          <QueryField value={q} onSubmit={search} onDown={() => setCursor(0)} />
          <FacetChoices q={q} onChange={search} />
        </div>
        <Terms q={q} onChange={search} />
        <div className="facets">
          <Facets q={q} onChange={search} />
          <NewRow list={list} state={state} />
        </div>
        {selection.ids.size > 0 && (
          <SelectionBar q={q} selection={selection} begin={begin} more={state.cursor !== undefined} />
        )}
        <ListBody
          list={list}
          state={state}
          q={q}
          table={{ selection, cursor, open: panel || undefined, toggle, setCursor, visible }}
        />
      </div>
      {panel && (
        <aside className="panel" aria-label="The job">
          <JobDetail
            key={panel}
            id={panel}
            panel
            extra={
              <>
                <Button small icon="external" kind="ghost" label="Full page" onClick={() => navigate(jobAt(panel))} />
                <Button small icon="close" kind="ghost" label="Close the panel" onClick={() => openPanel(undefined)} />
              </>
            }
          />
        </aside>
      )}
      {push && <PushDialog onClose={() => setParams({ push: null }, { replace: true })} />}
      {bulk && (
        <BulkDialog
          {...bulk}
          onClose={() => setBulk(undefined)}
          onDone={() => {
            selection.clear()
            void list.refresh(visible.current)
          }}
        />
      )}
    </div>
  )
}

/** At most one question a second, however much happens. */
function useLiveList(list: JobList, q: string, visible: { readonly current: readonly string[] }): void {
  // The server refuses a stream of what it cannot read.
  useTopics(parseQuery(q).problems.length === 0 ? `jobs:${q}` : "")
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useNews(({ topic }) => {
    if (!topic.startsWith("job") && topic !== "overview") return
    timer.current ??= setTimeout(() => {
      timer.current = undefined
      void list.refresh(visible.current)
    }, 800)
  })
}

function select(selection: Selection, state: ListState, from: number, index: number, range: boolean): void {
  const job = state.jobs[index]
  if (!job) return
  if (!range || from < 0) return selection.toggle(job.id)
  const [low, high] = from < index ? [from, index] : [index, from]
  selection.set([...selection.ids, ...state.jobs.slice(low, high + 1).map(({ id }) => id)])
}

interface ListKeys {
  state: ListState
  cursor: number
  setCursor: (index: number) => void
  toggle: (index: number, range: boolean) => void
  begin: (action: BulkAction) => void
  panel: string
  selection: Selection
}

function useListKeys({ state, cursor, setCursor, toggle, begin, panel, selection }: ListKeys): void {
  const move = (by: number) => {
    const next = Math.max(0, Math.min(state.jobs.length - 1, cursor + by))
    setCursor(next)
    if (panel) openPanel(state.jobs[next])
  }
  const job = state.jobs[cursor]
  const acts: Keymap = panel
    ? {}
    : { r: () => begin("retry"), n: () => begin("run-now"), c: () => begin("cancel"), d: () => begin("delete") }
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    arrowdown: () => move(1),
    arrowup: () => move(-1),
    x: () => toggle(cursor, false),
    X: () => toggle(cursor, true),
    o: () => openPanel(panel ? undefined : (job ?? state.jobs[0])),
    ...(job ? { enter: () => navigate(jobAt(job.id)) } : {}),
    escape: () => (panel ? openPanel(undefined) : selection.clear()),
    ...acts,
  })
}

interface TableState {
  selection: Selection
  cursor: number
  open: string | undefined
  toggle: (index: number, range: boolean) => void
  setCursor: (index: number) => void
  visible: { current: readonly string[] }
}

function ListBody({ list, state, q, table }: { list: JobList; state: ListState; q: string; table: TableState }) {
  const { columns } = usePreferences()
  const shown = columns ?? usualColumns
  const beside = table.open !== undefined
  const phone = useNarrow()
  const chosen = allColumns.filter(
    ({ key, wide }) =>
      shown.includes(key) && !(beside && ["worker", "took", "attempts"].includes(key)) && !(phone && wide),
  )
  const key = chosen.map((column) => column.key).join()
  const kept = useRef({ key: "", chosen })
  if (kept.current.key !== key) kept.current = { key, chosen }
  if (state.error !== undefined && state.jobs.length === 0)
    return <Problem error={state.error} retry={() => void list.reload()} />
  if (state.loading)
    return (
      <div className="card">
        <div className="body">
          <Skeleton rows={16} />
        </div>
      </div>
    )
  return (
    <>
      <div className="card list">
        {state.jobs.length === 0 ? (
          <Nothing q={q} />
        ) : (
          <JobTable
            state={state}
            columns={kept.current.chosen}
            selection={table.selection}
            cursor={table.cursor}
            open={table.open}
            onToggle={table.toggle}
            onOpen={(job, index) => {
              table.setCursor(index)
              openPanel(job)
            }}
            onEnd={() => list.scrolls && void list.loadMore()}
            onVisible={(ids) => (table.visible.current = ids)}
          />
        )}
      </div>
      <Foot list={list} state={state} />
    </>
  )
}

function Foot({ list, state }: { list: JobList; state: ListState }) {
  const { bounded, cursor, jobs } = state
  if (bounded === null || cursor === undefined) {
    return (
      <p className="meta foot">
        {cursor === undefined && jobs.length > 0 ? `${plural(jobs.length, "job")}, that is all.` : ""}
      </p>
    )
  }
  return (
    <p className="row meta foot">
      No index serves this search, so it looked at the newest {number(bounded.looked)} jobs
      {bounded.reached && (
        <>
          , back to <Ago at={bounded.reached} />
        </>
      )}
      .
      <Button small onClick={() => void list.loadMore()}>
        Look further back
      </Button>
    </p>
  )
}

function NewRow({ list, state }: { list: JobList; state: ListState }) {
  const { waiting, left } = state
  const text = [
    waiting.length > 0 ? `${number(waiting.length)}${waiting.length >= 60 ? "+" : ""} new` : "",
    left.size > 0 ? `${number(left.size)} moved on` : "",
  ]
  const words = text.filter(Boolean).join(", ")
  return (
    <div className="new-row" role="status">
      {words !== "" && (
        <button type="button" className="chip" onClick={() => list.showNew()}>
          {words}
        </button>
      )}
    </div>
  )
}

interface BarProps {
  q: string
  selection: Selection
  begin: (action: BulkAction, target?: Target) => void
  more: boolean
}

function SelectionBar({ q, selection, begin, more }: BarProps) {
  const may = useMay()
  const [all, setAll] = useState(false)
  const target = all ? { q } : { ids: [...selection.ids] }
  return (
    <div className="selection" role="toolbar" aria-label="What is selected">
      <b>{all ? "Everything that matches" : `${number(selection.ids.size)} selected`}</b>
      {more && (
        <Button small kind="ghost" aria-pressed={all} onClick={() => setAll(!all)}>
          {all ? "Only the selected" : "All that match"}
        </Button>
      )}
      <span className="grow" />
      {(Object.keys(bulkWords) as BulkAction[])
        .filter((action) => may(bulkWords[action].needs))
        .map((action) => (
          <Button
            key={action}
            small
            kind={bulkWords[action].danger ? "danger" : undefined}
            onClick={() => begin(action, target)}
          >
            {bulkWords[action].verb}
          </Button>
        ))}
      <Button small kind="ghost" icon="close" label="Clear the selection" onClick={selection.clear} />
    </div>
  )
}

function ColumnMenu() {
  const { columns = usualColumns } = usePreferences()
  const toggle = (key: string) =>
    prefer({ columns: columns.includes(key) ? columns.filter((one) => one !== key) : [...columns, key] })
  return (
    <Menu label="Columns" icon="settings" keep>
      {allColumns
        .filter(({ key }) => key !== "job")
        .map(({ key, title }) => (
          <li key={key}>
            <label className="option">
              <input type="checkbox" checked={columns.includes(key)} onChange={() => toggle(key)} />
              {title}
            </label>
          </li>
        ))}
    </Menu>
  )
}

const pushCode = `import { defineJob, Millrace } from "millrace"

const greet = defineJob({ name: "greet" })
await app.push(greet, { name: "Ada" })`

function Nothing({ q }: { q: string }) {
  if (q === "") {
    return (
      <Empty title="No jobs yet" code={pushCode}>
        Jobs appear here as soon as they are pushed.
      </Empty>
    )
  }
  return (
    <Empty title="No job matches">
      Words stand side by side and must all hold; a comma means “or”.{" "}
      <Button onClick={() => search("")}>All jobs</Button>
    </Empty>
  )
}

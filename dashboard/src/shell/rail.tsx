import { useQuery } from "@tanstack/react-query"
import { useMay } from "../api/meta.ts"
import { overview } from "../api/overview.ts"
import { listViews } from "../api/views.ts"
import { compact } from "../format.ts"
import { jobsAt, Link, usePlace } from "../router.ts"
import { Icon } from "../ui/icon.tsx"
import { entries, isHere, lowerEntries, type Entry } from "./pages.ts"

export function Brand() {
  return (
    <Link to="/" className="brand">
      <svg
        viewBox="0 0 20 20"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.7"
        strokeLinecap="round"
        aria-hidden="true"
      >
        <circle cx="10" cy="8.5" r="6" />
        <path d="M10 2.5v12M4 8.5h12M5.8 4.3l8.4 8.4M14.2 4.3l-8.4 8.4" strokeWidth="1.1" />
        <path d="M1.5 17.5c2-1.6 3.6-1.6 5.6 0s3.7 1.6 5.7 0 3.7-1.6 5.7 0" stroke="var(--accent)" />
      </svg>
      Millrace
    </Link>
  )
}

export function Rail({ open, onClose }: { open: boolean; onClose: () => void }) {
  const may = useMay()
  const { data } = useQuery({ queryKey: ["overview"], queryFn: overview })
  const views = useQuery({ queryKey: ["views"], queryFn: listViews, staleTime: 60_000 }).data ?? []
  const failed = data?.states?.failed?.value ?? 0
  return (
    <nav className={`rail${open ? " open" : ""}`} aria-label="Pages" onClick={onClose}>
      <Brand />
      <ul>
        {entries.map((entry) => (
          <Item key={entry.to} entry={entry} count={entry.to === "/jobs" && failed > 0 ? failed : undefined} />
        ))}
      </ul>
      {views.length > 0 && (
        <>
          <h2>Saved views</h2>
          <ul>
            {views.map((view) => (
              <li key={view.id}>
                <Link className="nav" to={jobsAt(view.query)}>
                  <Icon name="star" />
                  <span className="cut">{view.name}</span>
                </Link>
              </li>
            ))}
          </ul>
        </>
      )}
      <div className="grow" />
      <ul>
        {lowerEntries
          .filter(({ needs }) => needs === undefined || may(needs))
          .map((entry) => (
            <Item key={entry.to} entry={entry} />
          ))}
      </ul>
    </nav>
  )
}

function Item({ entry: { to, title, icon, letter }, count }: { entry: Entry; count?: number }) {
  const { path } = usePlace()
  return (
    <li>
      <Link className="nav" to={to} aria-current={isHere(to, path) ? "page" : undefined} title={`g ${letter}`}>
        <Icon name={icon} />
        {title}
        {count !== undefined && (
          <span className="count bad" title={`${count} failed`}>
            {compact(count)}
            <span className="sr"> failed</span>
          </span>
        )}
      </Link>
    </li>
  )
}

export function TabBar({ onMore }: { onMore: () => void }) {
  const { path } = usePlace()
  const shown = entries.filter(({ to }) => ["/", "/jobs", "/errors", "/queues"].includes(to))
  return (
    <nav className="tabbar" aria-label="Main pages">
      {shown.map(({ to, title, icon }) => (
        <Link key={to} to={to} aria-current={isHere(to, path) ? "page" : undefined}>
          <Icon name={icon} />
          {title}
        </Link>
      ))}
      <button type="button" onClick={onMore}>
        <Icon name="menu" />
        More
      </button>
    </nav>
  )
}

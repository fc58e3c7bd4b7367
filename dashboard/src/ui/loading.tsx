import type { ReactNode } from "react"
import { messageOf } from "../api/http.ts"
import { Button } from "./button.tsx"

/** Rows of the size of what comes, so that nothing jumps. */
export function Skeleton({ rows = 6, height = 16 }: { rows?: number; height?: number }) {
  return (
    <div className="stack" aria-busy="true" aria-label="Loading" role="status">
      {Array.from({ length: rows }, (_, index) => (
        <span key={index} className="skeleton" style={{ height, width: `${94 - ((index * 17) % 40)}%` }} />
      ))}
    </div>
  )
}

export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  return (
    <div className="note bad" role="alert">
      <div>{messageOf(error)}</div>
      {retry && (
        <Button small icon="retry" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  )
}

interface Loaded<T> {
  data: T | undefined
  error: unknown
  refetch: () => unknown
}

/** The three faces of everything that is fetched. What is there stays while news fail to come. */
export function Await<T>(props: { of: Loaded<T>; rows?: number; children: (data: T) => ReactNode }) {
  const { of, rows, children } = props
  if (of.data !== undefined) return <>{children(of.data)}</>
  if (of.error) return <Problem error={of.error} retry={() => void of.refetch()} />
  return (
    <div className="card">
      <div className="body">
        <Skeleton rows={rows ?? 6} />
      </div>
    </div>
  )
}

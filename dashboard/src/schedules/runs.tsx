import type { Preview } from "../api/schedules.ts"
import { relative } from "../format.ts"

/** The next runs; where the zone's clock has jumped in between, a line says so. */
export function Runs({ runs }: { runs: Preview["runs"] }) {
  return (
    <ol className="runs" aria-label="The next runs">
      {runs.map((run, index) => {
        const before = runs[index - 1]
        return (
          <li key={run.at}>
            {before && before.offset !== run.offset && (
              <span className="jump">
                The clocks change: {before.offset} becomes {run.offset}
              </span>
            )}
            <span className="mono">{run.local.slice(0, 16).replace("T", " ")}</span>
            <span className="meta">
              {run.offset}, {relative(run.at)}
            </span>
          </li>
        )
      })}
    </ol>
  )
}

import { useQuery } from "@tanstack/react-query"
import { parseQuery, quoteValue, withoutField, withTerm } from "../../../src/model/query.ts"
import { facets, states, type Facet } from "../api/jobs.ts"
import { compact } from "../format.ts"
import { Glyph, likeState } from "../ui/state.tsx"

function useFacets(q: string) {
  return useQuery({
    queryKey: ["facets", q],
    queryFn: () => facets(q),
    enabled: parseQuery(q).problems.length === 0,
    placeholderData: (before) => before,
    refetchInterval: 10_000,
  })
}

/** Queue and name, beside the search. */
export function FacetChoices({ q, onChange }: { q: string; onChange: (q: string) => void }) {
  const { data } = useFacets(withoutField(q, "state"))
  return (
    <div className="row tight hide-narrow facet-choices">
      <Choices title="Queue" field="queue" q={q} values={data?.queue ?? []} onChange={onChange} />
      <Choices title="Name" field="name" q={q} values={data?.name ?? []} onChange={onChange} />
    </div>
  )
}

/** How many match, by state, queue and name. A click narrows the search, another widens it again. */
export function Facets({ q, onChange }: { q: string; onChange: (q: string) => void }) {
  // Beside the state, the other states are shown as well: one goes from failed to retrying with a click.
  const wide = withoutField(q, "state")
  const { data } = useFacets(wide)
  const chosen = stateOf(q)
  const counts = new Map((data?.state ?? []).map(({ value, count }) => [value, count]))
  const choose = (state: string) => onChange(chosen === state ? wide : withTerm(wide, `state:${state}`))
  return (
    <div className="row tight" role="group" aria-label="States">
      <button type="button" className="chip" aria-pressed={chosen === undefined} onClick={() => onChange(wide)}>
        all
        <b>{data ? told(data.total) : ""}</b>
      </button>
      {states.map((state) => (
        <button
          key={state}
          type="button"
          className={`chip s-${state}`}
          aria-pressed={chosen === state}
          onClick={() => choose(state)}
        >
          <span className="badge">
            <Glyph state={likeState(state)} />
          </span>
          {state}
          <b>{data ? told(counts.get(state) ?? { value: 0, capped: false }) : ""}</b>
        </button>
      ))}
    </div>
  )
}

const told = ({ value, capped }: { value: number; capped: boolean }): string => `${compact(value)}${capped ? "+" : ""}`

function stateOf(q: string): string | undefined {
  const found = parseQuery(q).terms.filter((term) => term.field === "state")
  return found.length === 1 ? found[0]!.text.replace(/^state:/, "") : undefined
}

interface ChoicesProps {
  title: string
  field: string
  q: string
  values: readonly Facet[]
  onChange: (q: string) => void
}

function Choices({ title, field, q, values, onChange }: ChoicesProps) {
  const bare = withoutField(q, field)
  const now = parseQuery(q).terms.find((term) => term.text.startsWith(`${field}:`))
  const value = now?.text.slice(field.length + 1) ?? ""
  return (
    <select
      className="inline"
      aria-label={title}
      value={value}
      onChange={(event) =>
        onChange(event.target.value === "" ? bare : withTerm(bare, `${field}:${event.target.value}`))
      }
    >
      <option value="">{title}: any</option>
      {value !== "" && !values.some((one) => quoteValue(one.value) === value) && <option value={value}>{value}</option>}
      {values.slice(0, 100).map(({ value: one, count }) => (
        <option key={one} value={quoteValue(one)}>
          {one} ({told(count)})
        </option>
      ))}
    </select>
  )
}

// The search field: completes fields and values, and tells of each word whether an index answers it.
import { useQuery } from "@tanstack/react-query"
import { useEffect, useId, useRef, useState } from "react"
import { parseQuery, quoteValue, termCosts } from "../../../src/model/query.ts"
import { suggest } from "../api/jobs.ts"
import { useMeta } from "../api/meta.ts"
import { Icon } from "../ui/icon.tsx"
import { completionsFor, wordAt } from "./complete.ts"

const costWords = {
  indexed: "answered by an index",
  filtered: "read from what the other words leave",
  scanned: "reads every job there is",
} as const

interface FieldProps {
  value: string
  onSubmit: (q: string) => void
  onDown?: () => void
}

export function QueryField({ value, onSubmit, onDown }: FieldProps) {
  const [text, setText] = useState(value)
  const [caret, setCaret] = useState(0)
  const [open, setOpen] = useState(false)
  const [at, setAt] = useState(-1)
  const input = useRef<HTMLInputElement>(null)
  const list = useId()
  useEffect(() => setText(value), [value])
  const word = wordAt(text, caret)
  const values = useQuery({
    queryKey: ["suggest", word.field, word.typed],
    queryFn: () => suggest(word.field!, word.typed),
    enabled: open && word.field !== undefined,
    staleTime: 30_000,
    placeholderData: (before) => before,
  }).data
  const choices = open ? completionsFor(word, values ?? []) : []

  const take = (choice: string) => {
    const done =
      word.field === undefined
        ? `${word.sign}${choice}${choice.endsWith(".") ? "" : ":"}`
        : `${word.sign}${word.field}:${quoteValue(choice)} `
    const next = text.slice(0, word.start) + done + text.slice(word.end).trimStart()
    setText(next)
    setAt(-1)
    const position = word.start + done.length
    requestAnimationFrame(() => {
      input.current?.setSelectionRange(position, position)
      setCaret(position)
    })
  }

  const submit = () => {
    setOpen(false)
    onSubmit(text.trim())
  }

  const onKeyDown = (event: React.KeyboardEvent) => {
    const { key } = event
    const chosen = choices[at]
    if (key === "Escape") {
      if (open && choices.length > 0) setOpen(false)
      else input.current?.blur()
    } else if (key === "Enter") {
      if (chosen === undefined) submit()
      else take(chosen.text)
    } else if (key === "Tab" && choices.length > 0 && open && !event.shiftKey) take((chosen ?? choices[0]!).text)
    else if (key === "ArrowDown") {
      if (choices.length > 0) setAt((at + 1) % choices.length)
      else onDown?.()
    } else if (key === "ArrowUp" && choices.length > 0) setAt(at <= 0 ? choices.length - 1 : at - 1)
    else return
    event.preventDefault()
  }

  return (
    <div className="query">
      <Icon name="search" />
      <input
        ref={input}
        data-search
        type="text"
        role="combobox"
        aria-label="Search jobs"
        aria-expanded={choices.length > 0}
        aria-controls={list}
        aria-activedescendant={at >= 0 ? `${list}-${at}` : undefined}
        aria-autocomplete="list"
        autoComplete="off"
        spellCheck={false}
        placeholder="state:failed  name:send*  payload.user.id:42  error:ECONNRESET  created:-1h"
        value={text}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onKeyDown={onKeyDown}
        onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? 0)}
        onChange={(event) => {
          setText(event.target.value)
          setCaret(event.target.selectionStart ?? event.target.value.length)
          setOpen(true)
          setAt(-1)
        }}
      />
      {text !== "" && (
        <button
          type="button"
          className="button ghost small icon-only"
          aria-label="Clear the search"
          onClick={() => onSubmit("")}
        >
          <Icon name="close" />
        </button>
      )}
      {text === "" && <kbd className="hide-narrow">/</kbd>}
      <ul id={list} role="listbox" aria-label="Completions" className="choices drop" hidden={choices.length === 0}>
        {choices.map((choice, index) => (
          <li
            key={choice.text}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            onPointerDown={(event) => {
              event.preventDefault()
              take(choice.text)
            }}
          >
            <span className="mono cut">{choice.text}</span>
            {choice.hint && <span className="meta cut">{choice.hint}</span>}
          </li>
        ))}
      </ul>
    </div>
  )
}

/** The words of a query as they were understood; each can be taken out. */
export function Terms({ q, onChange }: { q: string; onChange: (q: string) => void }) {
  const { indexes = [] } = useMeta()
  const parsed = parseQuery(q)
  if (parsed.terms.length === 0 && parsed.problems.length === 0) return null
  const costs = termCosts(parsed, indexes)
  const without = (start: number, end: number) => `${q.slice(0, start)}${q.slice(end)}`.replaceAll(/\s+/g, " ").trim()
  return (
    <ul className="row tight terms" aria-label="Words of the search">
      {parsed.terms.map((term, index) => (
        <li key={term.start} className={`chip ${costs[index]}`} title={costWords[costs[index]!]}>
          <i aria-hidden="true" />
          <span className="mono">{term.text}</span>
          <span className="sr">{costWords[costs[index]!]}</span>
          <button
            type="button"
            aria-label={`Without ${term.text}`}
            onClick={() => onChange(without(term.start, term.end))}
          >
            <Icon name="close" />
          </button>
        </li>
      ))}
      {parsed.problems.map(({ text, start, end, message }) => (
        <li key={`!${start}`} className="chip wrong">
          <span className="mono">{text}</span>
          <span>{message}</span>
          <button type="button" aria-label={`Without ${text}`} onClick={() => onChange(without(start, end))}>
            <Icon name="close" />
          </button>
        </li>
      ))}
    </ul>
  )
}

// A state is always colour and glyph and word: none of them has to be told apart from the others alone.
import type { ReactNode } from "react"
import type { JobState } from "../api/jobs.ts"

const glyphs: Record<JobState, ReactNode> = {
  pending: <circle cx="7" cy="7" r="4.5" />,
  scheduled: (
    <>
      <circle cx="7" cy="7" r="5" />
      <path d="M7 4.2V7l1.8 1.2" />
    </>
  ),
  running: (
    <>
      <circle cx="7" cy="7" r="4.8" />
      <path d="M7 2.2a4.8 4.8 0 0 1 0 9.6z" fill="currentColor" stroke="none" />
    </>
  ),
  retrying: <path d="M11.3 5.2A4.6 4.6 0 1 0 11.6 8M11.6 2.6v2.8H8.8" />,
  blocked: <path d="M4.8 3v8M9.2 3v8" strokeWidth="2.2" />,
  succeeded: <path d="m2.8 7.4 2.9 2.9 5.5-6.4" strokeWidth="1.9" />,
  failed: <path d="m3.4 3.4 7.2 7.2M10.6 3.4l-7.2 7.2" strokeWidth="1.9" />,
  cancelled: (
    <>
      <circle cx="7" cy="7" r="4.8" />
      <path d="m3.8 10.2 6.4-6.4" />
    </>
  ),
}

export function Glyph({ state }: { state: JobState }) {
  return (
    <svg
      viewBox="0 0 14 14"
      width="14"
      height="14"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {glyphs[state] ?? glyphs.pending}
    </svg>
  )
}

export function StateBadge({ state, solid = false, word }: { state: JobState; solid?: boolean; word?: string }) {
  return (
    <span className={`badge s-${state}${solid ? " solid" : ""}`}>
      <Glyph state={state} />
      {word ?? state}
    </span>
  )
}

/** Words of workflows, flows, schedules and workers in the job's colours. */
const kin: Record<string, JobState> = {
  completed: "succeeded",
  done: "succeeded",
  fired: "succeeded",
  resolved: "succeeded",
  alive: "succeeded",
  ok: "succeeded",
  active: "succeeded",
  paused: "blocked",
  waiting: "blocked",
  sleeping: "scheduled",
  skipped: "cancelled",
  ignored: "cancelled",
  missed: "retrying",
  overlapped: "retrying",
  open: "failed",
  firing: "failed",
  reopened: "failed",
  lost: "failed",
  stopped: "cancelled",
  acknowledged: "retrying",
  silenced: "cancelled",
}

export const likeState = (word: string): JobState =>
  word in glyphs ? (word as JobState) : (kin[word.toLowerCase()] ?? "pending")

export function WordBadge({ word, solid }: { word: string; solid?: boolean }) {
  return <StateBadge state={likeState(word)} word={word} solid={solid ?? false} />
}

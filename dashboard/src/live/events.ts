// One stream of news from the server. News say what changed, never how: whoever shows it asks again. Without a stream
// (a proxy that buffers, a server that restarts), everything is asked for every few seconds instead.
import { useEffect, useRef } from "react"
import { queryClient } from "../api/client.ts"
import { urlOf } from "../api/http.ts"
import { store } from "../store.ts"

export type LiveState = "live" | "paused" | "polling"

export interface News {
  topic: string
}

export const liveState = store<LiveState>("polling")

const wanted = new Map<string, number>()
const listeners = new Set<(news: News) => void>()
let source: EventSource | undefined
let opened = ""
let planned: ReturnType<typeof setTimeout> | undefined
let poller: ReturnType<typeof setInterval> | undefined
let paused = false

const pollEvery = 4_000
const flushEvery = 700

/** Topics change with the page; several changes in a row make one new stream. */
function replan(): void {
  clearTimeout(planned)
  planned = setTimeout(connect, 30)
}

function connect(): void {
  const topics = [...wanted.keys()].sort()
  const key = topics.join("\n")
  if (paused || key === "") return close()
  if (key === opened && source && source.readyState !== EventSource.CLOSED) return
  close()
  opened = key
  const params = new URLSearchParams(topics.map((topic) => ["topic", topic]))
  const stream = new EventSource(`${urlOf("/events")}?${params.toString()}`)
  source = stream
  stream.addEventListener("open", () => settle("live"))
  stream.addEventListener("error", () => {
    poller = setInterval(refreshAll, pollEvery)
    // What the server refuses is not tried again by the browser.
    if (stream.readyState === EventSource.CLOSED) planned = setTimeout(connect, 10_000)
  })
  // A snapshot is news, too: what was asked for before the stream began may have changed in between.
  for (const name of ["snapshot", "delta", "events", "gone"])
    stream.addEventListener(name, (event) => hear(event as MessageEvent<string>))
  stream.addEventListener("reset", refreshAll)
}

function close(): void {
  source?.close()
  source = undefined
  opened = ""
}

function settle(state: LiveState): void {
  if (paused || liveState.get() === state) return
  liveState.set(state)
  clearInterval(poller)
  poller = state === "polling" ? setInterval(refreshAll, pollEvery) : undefined
}

function refreshAll(): void {
  if (document.hidden) return
  void queryClient.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== "meta" })
  for (const topic of wanted.keys()) tell({ topic })
}

const tell = (news: News): void => {
  for (const listener of listeners) listener(news)
}

const heard = new Set<string>()
let flushing: ReturnType<typeof setTimeout> | undefined

/** What changed within a moment is asked for once. */
function hear({ data }: MessageEvent<string>): void {
  const { topic } = JSON.parse(data) as { topic: string | null }
  if (topic === null) return
  heard.add(topic)
  flushing ??= setTimeout(() => {
    flushing = undefined
    for (const one of heard) {
      refresh(one)
      tell({ topic: one })
    }
    heard.clear()
  }, flushEvery)
}

const keysOf: Record<string, readonly string[]> = {
  overview: ["overview"],
  queues: ["queues", "queue"],
  workers: ["workers", "worker"],
}

function refresh(topic: string): void {
  const [kind = "", id] = topic.split(":")
  if ((kind === "job" || kind === "operation") && id)
    return void queryClient.invalidateQueries({ queryKey: [kind, id] })
  for (const key of keysOf[kind] ?? []) void queryClient.invalidateQueries({ queryKey: [key] })
}

export function setPaused(on: boolean): void {
  paused = on
  if (on) {
    close()
    clearInterval(poller)
    liveState.set("paused")
    return
  }
  liveState.set("polling")
  poller = setInterval(refreshAll, pollEvery)
  refreshAll()
  connect()
}

/** Follows topics as long as the component is there. */
export function useTopics(...topics: string[]): void {
  const key = topics.join("\n")
  useEffect(() => {
    const mine = key.split("\n").filter((topic) => topic !== "")
    for (const topic of mine) wanted.set(topic, (wanted.get(topic) ?? 0) + 1)
    replan()
    return () => {
      for (const topic of mine) {
        const left = (wanted.get(topic) ?? 1) - 1
        if (left > 0) wanted.set(topic, left)
        else wanted.delete(topic)
      }
      replan()
    }
  }, [key])
}

export function useNews(hears: (news: News) => void): void {
  const latest = useRef(hears)
  latest.current = hears
  useEffect(() => {
    const listener = (news: News) => latest.current(news)
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }, [])
}

poller = setInterval(refreshAll, pollEvery)

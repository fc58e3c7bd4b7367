// The list of jobs as one sees it. News never move a row: what changed is changed in place, what no longer matches stays,
// dimmed, and what is new waits behind "12 new".
import { useEffect, useSyncExternalStore } from "react"
import { parseQuery } from "../../../src/model/query.ts"
import { listJobs, type JobPage, type JobRow } from "../api/jobs.ts"

export interface ListState {
  readonly jobs: readonly JobRow[]
  readonly waiting: readonly JobRow[]
  /** Shown, but no longer what was asked for. */
  readonly left: ReadonlySet<string>
  /** Changed a moment ago. */
  readonly flash: ReadonlySet<string>
  readonly cursor: string | undefined
  readonly loading: boolean
  readonly error: unknown
  /** Set: only so many were looked at. */
  readonly bounded: JobPage["bounded"]
}

const pageSize = 60
const none: ReadonlySet<string> = new Set()
const blank: ListState = {
  jobs: [],
  waiting: [],
  left: none,
  flash: none,
  cursor: undefined,
  loading: true,
  error: undefined,
  bounded: null,
}

export class JobList {
  readonly q: string
  #state = blank
  #listeners = new Set<() => void>()
  #begun = false
  #more = false
  #refreshing = false
  #again = false

  constructor(q: string) {
    this.q = q
  }

  readonly get = (): ListState => this.#state

  readonly follow = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #set(changes: Partial<ListState>): void {
    this.#state = { ...this.#state, ...changes }
    for (const listener of this.#listeners) listener()
  }

  begin(): void {
    if (this.#begun) return void this.refresh()
    this.#begun = true
    void this.reload()
  }

  async reload(): Promise<void> {
    const [wrong] = parseQuery(this.q).problems
    if (wrong) return this.#set({ loading: false, error: new Error(wrong.message) })
    this.#set({ loading: true, error: undefined })
    try {
      this.#first(await listJobs(this.q, undefined, pageSize))
    } catch (error) {
      this.#set({ loading: false, error })
    }
  }

  #first({ jobs, cursor, bounded }: JobPage): void {
    this.#set({ ...blank, jobs, cursor: cursor ?? undefined, bounded, loading: false })
  }

  /** Whether scrolling alone goes on: not where each page costs a search through jobs that no index knows. */
  get scrolls(): boolean {
    return this.#state.cursor !== undefined && this.#state.bounded === null
  }

  async loadMore(): Promise<void> {
    const { cursor } = this.#state
    if (this.#more || cursor === undefined) return
    this.#more = true
    try {
      const page = await listJobs(this.q, cursor, pageSize)
      const known = new Set(this.#state.jobs.map((job) => job.id))
      const jobs = [...this.#state.jobs, ...page.jobs.filter((job) => !known.has(job.id))]
      this.#set({ jobs, cursor: page.cursor ?? undefined, bounded: page.bounded, error: undefined })
    } catch (error) {
      this.#set({ error })
    } finally {
      this.#more = false
    }
  }

  /** Asks again for the head, and for those on the screen that are below it. Calls while one is under way become one. */
  async refresh(visible: readonly string[] = []): Promise<void> {
    if (this.#state.loading || parseQuery(this.q).problems.length > 0) return
    if (this.#refreshing) return void (this.#again = true)
    this.#refreshing = true
    try {
      const head = await listJobs(this.q, undefined, pageSize)
      this.#merge(head)
      const inHead = new Set(head.jobs.map((job) => job.id))
      const below = visible.filter((id) => !inHead.has(id)).slice(0, 60)
      if (below.length > 0) this.#update((await listJobs(`id:${below.join(",")}`, undefined, below.length)).jobs)
      this.#set({ error: undefined })
    } catch (error) {
      this.#set({ error })
    } finally {
      this.#refreshing = false
      if (this.#again) {
        this.#again = false
        void this.refresh(visible)
      }
    }
  }

  #merge({ jobs: head, cursor, bounded }: JobPage): void {
    const { jobs } = this.#state
    if (jobs.length === 0) return head.length > 0 ? this.#first({ jobs: head, cursor, bounded }) : undefined
    const known = new Set(jobs.map((job) => job.id))
    const inHead = new Set(head.map((job) => job.id))
    const last = cursor ? head.at(-1)?.id : undefined
    const covered = (id: string) => last === undefined || id >= last
    const left = new Set(jobs.filter(({ id }) => covered(id) && !inHead.has(id)).map(({ id }) => id))
    for (const id of this.#state.left) if (!covered(id)) left.add(id)
    this.#set({ left, waiting: head.filter(({ id }) => !known.has(id)) })
    this.#update(head)
  }

  #update(news: readonly JobRow[]): void {
    const fresh = new Map(news.map((job) => [job.id, job]))
    const flash = new Set<string>()
    const jobs = this.#state.jobs.map((job) => {
      const now = fresh.get(job.id)
      if (!now) return job
      if (now.state !== job.state) flash.add(job.id)
      return now
    })
    this.#set({ jobs, flash })
  }

  /** Puts what waits on top, and lets go of what no longer matches. */
  showNew(): void {
    const { waiting, jobs, left } = this.#state
    const all = [...waiting, ...jobs.filter(({ id }) => !left.has(id))]
    all.sort((one, other) => (one.id < other.id ? 1 : -1))
    this.#set({ jobs: all, waiting: [], left: none })
  }
}

/** A few are kept, so that going back finds the list as it was left. */
const kept = new Map<string, JobList>()

function listOf(q: string): JobList {
  const found = kept.get(q) ?? new JobList(q)
  kept.delete(q)
  kept.set(q, found)
  for (const old of [...kept.keys()].slice(0, -6)) kept.delete(old)
  return found
}

export function useJobList(q: string): { list: JobList; state: ListState } {
  const list = listOf(q)
  useEffect(() => list.begin(), [list])
  return { list, state: useSyncExternalStore(list.follow, list.get) }
}

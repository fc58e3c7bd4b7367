// What every scenario is: a way to measure one side once. The rounds, medians and ratios are main's.
import type { Figures } from "./figures.ts"
import type { Server } from "./server.ts"
import type { SideName } from "./side.ts"

export interface Scenario {
  readonly summary: string
  /** False for questions about our own design that cannot be put to a peer in the same way. */
  readonly peers: boolean
  readonly rounds: number
  /** Seconds that one measurement may take, where the usual limit is too short. */
  readonly limit?: number
  /** Its figures are a tree for each of several systems that it measures itself: a column each. */
  readonly columns?: true
  measure(run: Run): Promise<Measurement>
}

export interface Run {
  readonly server: Server
  readonly side: SideName
  readonly options: Options
  /** A line about what is going on, for whoever watches. */
  say(text: string): void
}

export interface Options {
  jobs?: number | undefined
  seconds?: number | undefined
  concurrency?: number | undefined
  processes: number
  /** Leave the planner without statistics about a backlog. */
  unanalysed: boolean
  /** Ours with a plugin that writes in each settlement's transaction. */
  saving: boolean
}

export interface Measurement {
  figures: Figures
  versions: Record<string, string>
  /** What a reader has to know and is no number. */
  notes?: Record<string, unknown>
  /** Share of the machine that others took meanwhile: above a tenth, trust CPU seconds more than rates. */
  foreignLoad: number | null
}

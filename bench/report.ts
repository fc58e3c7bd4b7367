// The two forms of a result: one JSON object, and a table for people.
import { cpus } from "node:os"
import { flatten, isBranch, medians, ratios, type Figures } from "./figures.ts"
import { worstLoad } from "./measure.ts"
import type { Measurement, Options } from "./scenario.ts"
import type { Server } from "./server.ts"
import type { PeerName } from "./side.ts"

export type Round = Partial<Record<"ours" | "peer", Measurement>>

export interface Outcome {
  scenario: string
  summary: string
  columns: true | undefined
  peer: PeerName | undefined
  options: Options
  server: Server
  rounds: Round[]
}

export interface Report {
  scenario: string
  /** Figures of millrace alone stand at the top level; beside a peer's, under `ours`, `peer` and `ratio`. */
  [figure: string]: unknown
}

export function report({ scenario, peer, options, server, rounds }: Outcome): Report {
  const { ours, peer: theirs } = sides(rounds)
  const notes = rounds[0]?.ours?.notes
  return {
    scenario,
    ...(theirs ? { ...(ours && { ours }), peer: theirs, ...(ours && { ratio: ratios(ours, theirs) }) } : ours),
    context: {
      ...(peer && { peer }),
      versions: versions(rounds),
      node: process.versions.node,
      postgres: server.version,
      settings: server.settings,
      cpus: cpus().length,
      cpu: cpus()[0]?.model,
      options,
    },
    ...(notes && { notes }),
    rounds: rounds.map(({ ours: our, peer: their }) => ({
      ...(our && { ours: line(our) }),
      ...(their && { peer: line(their) }),
    })),
  }
}

function line({ figures, foreignLoad }: Measurement): Figures {
  return { ...figures, foreignLoad }
}

function sides(rounds: Round[]): Partial<Record<"ours" | "peer", Figures>> {
  const ours = rounds.map((round) => round.ours).filter((measurement) => measurement !== undefined)
  const peer = rounds.map((round) => round.peer).filter((measurement) => measurement !== undefined)
  return {
    ...(ours.length > 0 && { ours: medians(ours.map(({ figures }) => figures)) }),
    ...(peer.length > 0 && { peer: medians(peer.map(({ figures }) => figures)) }),
  }
}

function versions(rounds: Round[]): Partial<Record<"ours" | "peer", Record<string, string>>> {
  const { ours, peer } = rounds[0] ?? {}
  return { ...(ours && { ours: ours.versions }), ...(peer && { peer: peer.versions }) }
}

export function table(outcome: Outcome): string {
  const { scenario, summary, server, rounds } = outcome
  const columns = columnsOf(outcome)
  const names = flatten(columns[0]?.[1] ?? {}).map(([name]) => name)
  const cells = columns.map(([title, figures]) => {
    const values = new Map(flatten(figures))
    return [title, ...names.map((name) => format(values.get(name) ?? null))]
  })
  const load = foreignLoad(rounds)
  return [
    `${scenario}: ${summary}`,
    `PostgreSQL ${server.version}, Node ${process.versions.node}, ${cpus().length} CPUs, medians of ${rounds.length}` +
      (load === null ? "" : `; others took up to ${Math.round(load * 100)} % of the machine`),
    "",
    ...align([["", ...names], ...cells]),
    "",
  ].join("\n")
}

function columnsOf({ columns, peer, rounds }: Outcome): [string, Figures][] {
  const { ours, peer: theirs } = sides(rounds)
  if (columns && ours) return Object.entries(ours).filter((entry): entry is [string, Figures] => isBranch(entry[1]))
  return [
    ...(ours ? [["millrace", ours] satisfies [string, Figures]] : []),
    ...(theirs ? [[peer ?? "peer", theirs] satisfies [string, Figures]] : []),
    ...(ours && theirs ? [["ratio", ratios(ours, theirs)] satisfies [string, Figures]] : []),
  ]
}

function foreignLoad(rounds: Round[]): number | null {
  return worstLoad(rounds.flatMap(({ ours, peer }) => [ours?.foreignLoad ?? null, peer?.foreignLoad ?? null]))
}

/** Columns to lines: the first column to the left, the others to the right. */
function align(columns: string[][]): string[] {
  const widths = columns.map((cells) => Math.max(...cells.map((cell) => cell.length)))
  const lines = columns[0]?.length ?? 0
  return Array.from({ length: lines }, (_, row) =>
    columns
      .map((cells, column) => {
        const [cell = "", width = 0] = [cells[row], widths[column]]
        return column === 0 ? cell.padEnd(width) : cell.padStart(width)
      })
      .join("  ")
      .trimEnd(),
  )
}

function format(value: number | null): string {
  if (value === null) return "-"
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString("en-US")
  return String(Number(value.toPrecision(3)))
}

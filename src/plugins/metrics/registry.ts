import { failure } from "../../model/errors.ts"
import type { MetricKind, MetricLabels, Meter } from "../../model/metrics.ts"
import type { WrittenPoint } from "../../postgres/metrics.ts"
import { catalogue, type BuiltIn } from "./catalogue.ts"
import { exposedNames } from "./exposed.ts"
import { CounterSeries, GaugeSeries, HistogramSeries, type Series } from "./series.ts"

/*
 * All series of one worker, by name and labels. Their number is bounded: labels that turn out to be ids would else fill
 * memory and tables. What is over the bound goes into one series per metric whose labels say so.
 */

const mostSeries = 2_000
const makers = { counter: CounterSeries, gauge: GaugeSeries, histogram: HistogramSeries } as const
type SeriesOf<Kind extends MetricKind> = InstanceType<(typeof makers)[Kind]>

export class Registry {
  readonly #series = new Map<string, Series>()
  readonly #kinds = new Map<string, MetricKind>()
  /** Names that a scraper sees, and whose they are. */
  readonly #exposed = new Map<string, string>()
  readonly #overflowed: (metric: string) => void

  /** @param overflowed told of each series that came after the bound was reached. */
  constructor(overflowed: (metric: string) => void) {
    this.#overflowed = overflowed
    this.#exposed.set("millrace_worker_info", "worker.info")
    for (const [name, { kind }] of Object.entries(catalogue)) this.#declare(name, kind)
  }

  get all(): Iterable<Series> {
    return this.#series.values()
  }

  builtIn<Name extends BuiltIn>(
    name: Name,
    labels: MetricLabels,
    shared = false,
  ): SeriesOf<(typeof catalogue)[Name]["kind"]> {
    return this.#get(name, catalogue[name].kind, labels, shared) as SeriesOf<(typeof catalogue)[Name]["kind"]>
  }

  /** What everybody gathered since the last time. */
  take(): WrittenPoint[] {
    const points: WrittenPoint[] = []
    for (const series of this.#series.values()) {
      const point = series.take()
      if (point) points.push(point)
    }
    return points
  }

  /** For metrics of others. */
  get meter(): Meter {
    const custom = <Kind extends MetricKind>(kind: Kind, name: string, labels: MetricLabels = {}) => {
      this.#check(name, kind, labels)
      return this.#get(name, kind, labels, false)
    }
    return {
      counter: (name, labels) => custom("counter", name, labels),
      gauge: (name, labels) => custom("gauge", name, labels),
      histogram: (name, labels) => custom("histogram", name, labels),
    }
  }

  #get<Kind extends MetricKind>(name: string, kind: Kind, labels: MetricLabels, shared: boolean): SeriesOf<Kind> {
    const key = keyOf(name, labels)
    const known = this.#series.get(key)
    if (known) return known as SeriesOf<Kind>
    if (this.#series.size >= mostSeries && labels["overflow"] === undefined && isOpen(name)) {
      this.#overflowed(name)
      return this.#get(name, kind, { overflow: "true" }, shared)
    }
    const fresh = new makers[kind]({ name, labels: sorted(labels), shared }) as SeriesOf<Kind>
    this.#series.set(key, fresh)
    return fresh
  }

  #check(name: string, kind: MetricKind, labels: MetricLabels): void {
    if (typeof name !== "string" || !/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/.test(name) || name.length > 100)
      throw badName(
        `${JSON.stringify(name)} cannot name a metric: words of a-z, 0-9 and "_", joined by dots, as "mail.sent".`,
      )
    if (Object.hasOwn(catalogue, name)) throw badName(`the metric "${name}" is Millrace's own; take another name.`)
    for (const [label, value] of Object.entries(labels)) checkLabel(name, label, value)
    const known = this.#kinds.get(name)
    if (known === undefined) this.#declare(name, kind)
    else if (known !== kind) throw badName(`the metric "${name}" is a ${known}, not a ${kind}.`)
  }

  #declare(name: string, kind: MetricKind): void {
    const exposed = exposedNames(name, kind)
    const taken = exposed.map((one) => this.#exposed.get(one)).find((one) => one !== undefined)
    if (taken !== undefined)
      throw badName(`the metrics "${name}" and "${taken}" would be one to a scraper; rename one.`)
    for (const one of exposed) this.#exposed.set(one, name)
    this.#kinds.set(name, kind)
  }
}

/** Whether its labels may be anything: of the built-in ones, the names of jobs and queues. */
const isOpen = (name: string): boolean => !Object.hasOwn(catalogue, name) || name.startsWith("jobs.")

const reserved = ["worker", "le", "quantile", "overflow", "exact"]

function checkLabel(name: string, label: string, value: unknown): void {
  const wrong = !/^[a-z][a-z0-9_]*$/.test(label) || label.length > 40 || reserved.includes(label)
  if (wrong)
    throw badName(
      `the metric "${name}" cannot have a label "${label}": a-z, 0-9 and "_", and none of ${reserved.join(", ")}.`,
    )
  if (typeof value !== "string" || value.length > 200 || /[\0\p{Cs}]/u.test(value))
    throw badName(`the metric "${name}": the label "${label}" must be text of at most 200 characters.`)
}

const badName = (text: string) => failure("MILLRACE_BAD_NAME", text)

const sorted = (labels: MetricLabels): MetricLabels =>
  Object.freeze(Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))))

const keyOf = (name: string, labels: MetricLabels): string =>
  `${name} ${JSON.stringify(Object.entries(sorted(labels)))}`

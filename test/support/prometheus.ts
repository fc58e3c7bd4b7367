// A strict reader of Prometheus' text format 0.0.4: whatever a scraper could stumble over is an error here.

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: Sample[]
}

const namePattern = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const labelPattern = /^[a-zA-Z_][a-zA-Z0-9_]*$/
const types = ["counter", "gauge", "histogram", "summary", "untyped"]

/** Families by name. @throws with the line that is wrong, and why. */
export function parsePrometheus(text: string): Map<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line does not end")
  const families = new Map<string, Family>()
  const helps = new Map<string, string>()
  const seen = new Set<string>()
  let current: Family | undefined
  for (const line of text.slice(0, -1).split("\n")) {
    const fail = (why: string) => new Error(`${why}: ${line}`)
    if (line.startsWith("# HELP ")) {
      const [name = "", ...words] = line.slice(7).split(" ")
      if (!namePattern.test(name) || helps.has(name)) throw fail("a bad or second HELP")
      if (/\\(?![\\n])/.test(words.join(" "))) throw fail("a bad escape")
      helps.set(name, words.join(" "))
    } else if (line.startsWith("# TYPE ")) {
      const [name = "", type = "", ...rest] = line.slice(7).split(" ")
      if (rest.length > 0 || !types.includes(type)) throw fail("a bad TYPE")
      if (families.has(name)) throw fail("a second TYPE, or samples before it")
      current = { name, type, help: helps.get(name) ?? "", samples: [] }
      families.set(name, current)
    } else if (line.startsWith("#") || line.trim() === "") throw fail("neither HELP, TYPE nor a sample")
    else {
      const sample = sampleOf(line)
      if (!current || !belongs(sample.name, current)) throw fail("outside of its family")
      const key = `${sample.name} ${keyOf(sample.labels)}`
      if (seen.has(key)) throw fail("a second sample of the same labels")
      seen.add(key)
      current.samples.push(sample)
    }
  }
  for (const family of families.values()) checkFamily(family)
  return families
}

const keyOf = (labels: Readonly<Record<string, string>>): string =>
  JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)))

function belongs(name: string, { name: family, type }: Family): boolean {
  if (type !== "histogram") return name === family
  return ["_bucket", "_sum", "_count"].some((suffix) => name === family + suffix)
}

function sampleOf(line: string): Sample {
  const head = /^([^\s{]+)(\{(.*)\})? (\S+)$/.exec(line)
  if (!head || !namePattern.test(head[1]!)) throw new Error(`not a sample: ${line}`)
  const value = numberOf(head[4]!)
  if (value === undefined) throw new Error(`not a number: ${line}`)
  return { name: head[1]!, labels: labelsOf(head[3] ?? "", line), value }
}

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {}
  const label = /([^=,{}]+)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y
  for (let at = 0; at < text.length; at = label.lastIndex) {
    label.lastIndex = at
    const found = label.exec(text)
    if (!found || !labelPattern.test(found[1]!)) throw new Error(`bad labels: ${line}`)
    const [, name, escaped] = found as unknown as [string, string, string]
    if (Object.hasOwn(labels, name)) throw new Error(`a second label "${name}": ${line}`)
    labels[name] = escaped.replaceAll(/\\(.)/g, (_, letter: string) => (letter === "n" ? "\n" : letter))
  }
  return labels
}

function numberOf(text: string): number | undefined {
  if (text === "+Inf") return Infinity
  if (text === "-Inf") return -Infinity
  if (text === "NaN") return Number.NaN
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : undefined
}

function checkFamily({ name, type, help, samples }: Family): void {
  if (help === "") throw new Error(`${name} has no HELP`)
  if (samples.length === 0) throw new Error(`${name} has no samples`)
  if (type === "counter") {
    if (!name.endsWith("_total")) throw new Error(`the counter ${name} does not end with _total`)
    for (const { value } of samples) if (!(value >= 0)) throw new Error(`${name} counts ${value}`)
  }
  if (type === "histogram") for (const one of histograms(name, samples).values()) checkHistogram(name, one)
}

interface Parts {
  readonly buckets: { readonly le: string; readonly value: number }[]
  sum?: number
  count?: number
}

function histograms(family: string, samples: readonly Sample[]): Map<string, Parts> {
  const found = new Map<string, Parts>()
  for (const { name, labels, value } of samples) {
    const { le, ...rest } = labels
    const key = keyOf(rest)
    const parts = found.get(key) ?? { buckets: [] }
    found.set(key, parts)
    if (name === `${family}_bucket`) parts.buckets.push({ le: le!, value })
    else if (le !== undefined) throw new Error(`${name} has a label le`)
    else if (name === `${family}_sum`) parts.sum = value
    else parts.count = value
  }
  return found
}

function checkHistogram(name: string, { buckets, sum, count }: Parts): void {
  if (sum === undefined || count === undefined) throw new Error(`${name} lacks its sum or its count`)
  const bounds = buckets.map(({ le }) => (le === undefined ? Number.NaN : numberOf(le)!))
  for (const [index, bound] of bounds.entries()) {
    if (Number.isNaN(bound) || (index > 0 && !(bound > bounds[index - 1]!)))
      throw new Error(`${name}: bounds do not rise`)
    if (index > 0 && buckets[index]!.value < buckets[index - 1]!.value) throw new Error(`${name}: counts fall`)
  }
  if (bounds.at(-1) !== Infinity) throw new Error(`${name} has no bucket +Inf`)
  if (buckets.at(-1)!.value !== count) throw new Error(`${name}: the bucket +Inf is not the count`)
}

import { expect, test } from "vitest"
import { parsePrometheus } from "./prometheus.ts"

const counter = '# HELP a_total what\n# TYPE a_total counter\na_total{queue="x\\"\\n\\\\"} 1\n'
const histogram = (rest: string) => `# HELP h what\n# TYPE h histogram\n${rest}`

test("what is right is read", () => {
  expect(parsePrometheus(counter).get("a_total")!.samples).toEqual([
    { name: "a_total", labels: { queue: 'x"\n\\' }, value: 1 },
  ])
  const text = histogram('h_bucket{le="0.5"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3.5e-3\nh_count 2\n')
  expect(parsePrometheus(text).get("h")!.samples).toHaveLength(4)
})

test.each([
  ["no last line end", "does not end", counter.slice(0, -1)],
  ["a second sample", "second sample", counter + 'a_total{queue="x\\"\\n\\\\"} 1\n'],
  ["a second family", "second HELP", counter + counter],
  ["no type", "outside of its family", "a 1\n"],
  ["no help", "no HELP", "# TYPE a gauge\na 1\n"],
  ["no samples", "no samples", "# HELP a x\n# TYPE a gauge\n"],
  ["a bad name", "not a sample", "# HELP a x\n# TYPE a gauge\na.b 1\n"],
  ["a bad label", "bad labels", '# HELP a x\n# TYPE a gauge\na{b.c="1"} 1\n'],
  ["a bad escape", "bad labels", '# HELP a x\n# TYPE a gauge\na{b="\\t"} 1\n'],
  ["a label twice", "second label", '# HELP a x\n# TYPE a gauge\na{b="1",b="2"} 1\n'],
  ["no number", "not a number", "# HELP a x\n# TYPE a gauge\na one\n"],
  ["a counter without its suffix", "_total", "# HELP a x\n# TYPE a counter\na 1\n"],
  ["a negative counter", "counts -1", "# HELP a_total x\n# TYPE a_total counter\na_total -1\n"],
  ["no +Inf", "no bucket", histogram('h_bucket{le="1"} 1\nh_sum 1\nh_count 1\n')],
  [
    "bounds that fall",
    "do not rise",
    histogram('h_bucket{le="2"} 1\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n'),
  ],
  ["counts that fall", "counts fall", histogram('h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n')],
  ["a count that is another", "is not the count", histogram('h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n')],
  ["no sum", "lacks", histogram('h_bucket{le="+Inf"} 1\nh_count 1\n')],
])("refused: %s", (_, says, text) => {
  expect(() => parsePrometheus(text)).toThrow(says)
})

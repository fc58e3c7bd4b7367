import { fullTime } from "../format.ts"
import { useMarks } from "./use-marks.ts"

interface Props {
  from: string | undefined
  to: string
  width: number
  height: number
}

/** Marks as lines within an SVG whose left and right are these times. */
export function MarkLines({ from, to, width, height }: Props) {
  const marks = useMarks()
  const [start, end] = [Date.parse(from ?? to), Date.parse(to)]
  return marks
    .map((mark) => ({ ...mark, share: (Date.parse(mark.at) - start) / (end - start) }))
    .filter(({ share }) => share >= 0 && share <= 1)
    .map(({ id, text, at, share }) => (
      <line key={id} className="mark" x1={share * width} x2={share * width} y1={0} y2={height}>
        <title>{`${text}, ${fullTime(at)}`}</title>
      </line>
    ))
}

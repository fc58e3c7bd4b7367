import { differenceOf } from "./lines.ts"

/** Two texts as one, with what only one of them has marked by sign and colour. */
export function Difference({ one, other, label }: { one: readonly string[]; other: readonly string[]; label: string }) {
  return (
    <div className="code">
      <pre tabIndex={0} className="difference" role="region" aria-label={label}>
        {differenceOf(one, other).map(({ sign, line }, index) => (
          <span key={index} className={sign === "+" ? "added" : sign === "−" ? "removed" : ""}>
            {sign} {line}
            {"\n"}
          </span>
        ))}
      </pre>
    </div>
  )
}

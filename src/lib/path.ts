/**
 * Whether a path has the shape of a pattern, segment by segment, and what stands at its `:names`, decoded.
 * `matchPath("/jobs/:id", "/jobs/7")` is `{ id: "7" }`; undefined: it has another shape, or is not well encoded.
 */
export function matchPath(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split("/")
  const given = path.split("/")
  if (wanted.length !== given.length) return undefined
  const found: Record<string, string> = {}
  for (const [place, segment] of wanted.entries()) {
    const there = decoded(given[place]!)
    if (there === undefined) return undefined
    if (segment.startsWith(":")) {
      if (there === "") return undefined
      found[segment.slice(1)] = there
    } else if (segment !== there) return undefined
  }
  return found
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

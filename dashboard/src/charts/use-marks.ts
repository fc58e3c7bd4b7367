import { useQuery } from "@tanstack/react-query"
import { listMarks, type Mark } from "../api/marks.ts"
import { useMay } from "../api/meta.ts"
import { useSpan } from "./span.ts"

const nothing: readonly Mark[] = []

/** Those of the span that is looked at, newest first. */
export function useMarks(): readonly Mark[] {
  const span = useSpan()
  const may = useMay()
  const { data } = useQuery({
    queryKey: ["marks", span.key],
    queryFn: () => listMarks(new Date(Date.now() - span.ms).toISOString()),
    enabled: may("marks:read"),
    refetchInterval: 15_000,
    placeholderData: (before) => before,
  })
  return data ?? nothing
}

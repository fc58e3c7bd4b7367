import { useEffect, useState } from "react"
import type { LayoutRequest, LayoutResult } from "./layout-worker.ts"

let worker: Worker | undefined
let last = 0
const waiting = new Map<number, (result: LayoutResult) => void>()

function ask(request: Omit<LayoutRequest, "id">): Promise<LayoutResult> {
  if (!worker) {
    worker = new Worker(new URL("./layout-worker.ts", import.meta.url), { type: "module" })
    worker.addEventListener("message", ({ data }: MessageEvent<LayoutResult>) => {
      waiting.get(data.id)?.(data)
      waiting.delete(data.id)
    })
  }
  const id = ++last
  worker.postMessage({ ...request, id })
  return new Promise((resolve) => waiting.set(id, resolve))
}

/** Places for a graph; laid out anew only when its shape changes, not when a step's state does. */
export function useLayout({ nodes, edges }: Omit<LayoutRequest, "id">): LayoutResult | undefined {
  const shape = `${nodes.map((node) => node.key).join("\n")}\0${edges.map(({ from, to }) => `${from}>${to}`).join("\n")}`
  const [result, setResult] = useState<{ shape: string; layout: LayoutResult }>()
  useEffect(() => {
    let over = false
    void ask({ nodes, edges }).then((layout) => {
      if (!over) setResult({ shape, layout })
    })
    return () => {
      over = true
    }
  }, [shape])
  return result?.layout
}

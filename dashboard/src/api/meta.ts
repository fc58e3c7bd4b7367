import { useQuery } from "@tanstack/react-query"
import { noteServerTime } from "../format.ts"
import { get } from "./http.ts"

export interface IndexedPlace {
  readonly field: "payload" | "meta"
  readonly path: readonly string[]
}

export interface Meta {
  version: string
  schema: { name: string; current: number; needed: number }
  environment: string | null
  readOnly: boolean
  /** Names of the plugins whose routes are there. */
  capabilities: readonly string[]
  plugins: readonly string[]
  visitor: { name: string; role: string | null; signedInBy: string; limited: boolean }
  /** What we may do. */
  grants: readonly string[]
  /** Whether there is a login to go back to. */
  login: boolean
  now: string
  indexes?: readonly IndexedPlace[]
}

async function read(): Promise<Meta> {
  const meta = await get<Meta>("/meta")
  noteServerTime(meta.now)
  return meta
}

export const metaQuery = { queryKey: ["meta"], queryFn: read, staleTime: 60_000 }

const nobody: Meta = {
  version: "",
  schema: { name: "", current: 0, needed: 0 },
  environment: null,
  readOnly: false,
  capabilities: [],
  plugins: [],
  visitor: { name: "", role: null, signedInBy: "", limited: false },
  grants: [],
  login: false,
  now: "",
}

export function useMeta(): Meta {
  return useQuery(metaQuery).data ?? nobody
}

/** Whether the server would let us: it tells every permission that is granted. Buttons go by it; the server decides. */
export function useMay(): (permission: string) => boolean {
  const { grants } = useMeta()
  return (permission) => grants.includes(permission) || grants.includes("*")
}

export const useHas = (): ((plugin: string) => boolean) => {
  const { capabilities } = useMeta()
  return (plugin) => capabilities.includes(plugin)
}

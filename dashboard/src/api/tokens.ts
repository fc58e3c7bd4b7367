import { get, part, post, remove } from "./http.ts"

export interface Token {
  id: string
  name: string
  scopes: readonly string[]
  createdBy: string
  createdAt: string
  expiresAt: string | null
  usedAt: string | null
  revokedAt: string | null
}

export const listTokens = async (): Promise<readonly Token[]> =>
  (await get<{ tokens: readonly Token[] }>("/tokens")).tokens
export const createToken = (name: string, scopes: readonly string[], expiresIn: string): Promise<{ secret: string }> =>
  post("/tokens", { name, scopes, expiresIn })
export const revokeToken = (id: string): Promise<unknown> => remove(`/tokens/${part(id)}`)

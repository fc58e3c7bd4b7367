import { post } from "./http.ts"

export const login = (name: string, password: string): Promise<unknown> =>
  post("/login", name === "" ? { password } : { name, password })
export const logout = (): Promise<unknown> => post("/logout")

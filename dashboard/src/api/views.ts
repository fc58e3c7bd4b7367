import { get, part, post, remove } from "./http.ts"

export interface View {
  id: string
  name: string
  query: string
  shared: boolean
  createdBy: string
}

export const listViews = async (): Promise<readonly View[]> => (await get<{ views: readonly View[] }>("/views")).views
export const saveView = (name: string, query: string, shared: boolean): Promise<View> =>
  post("/views", { name, query, shared })
export const removeView = (id: string): Promise<unknown> => remove(`/views/${part(id)}`)

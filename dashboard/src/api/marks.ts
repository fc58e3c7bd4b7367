import { get, part, post, remove } from "./http.ts"

export interface Mark {
  id: string
  at: string
  text: string
  createdBy: string
}

export const listMarks = async (from: string): Promise<readonly Mark[]> =>
  (await get<{ marks: readonly Mark[] }>("/marks", { from })).marks
export const addMark = (text: string, at?: string): Promise<Mark> => post("/marks", at ? { text, at } : { text })
export const removeMark = (id: string): Promise<unknown> => remove(`/marks/${part(id)}`)

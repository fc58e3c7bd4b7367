import type { Names } from "./sql.ts"

/** One numbered step of a component's schema. Each runs in one transaction. */
export interface Migration {
  version: number
  up(names: Names): readonly string[]
  down(names: Names): readonly string[]
}

import { MillraceError } from "../lib/error.ts"

/**
 * The only place where an identifier becomes SQL text: it is validated *and* quoted here; every value elsewhere is a
 * bound parameter.
 */
const identifier = /^[a-z_][a-z0-9_]{0,39}$/

/** The schema-qualified, quoted names of one installation, and the channel that its notifications travel on. */
export interface Names {
  /** Plain schema name, for catalogue look-ups. */
  readonly plain: string
  /** Quoted schema name. */
  readonly schema: string
  readonly channel: string
  /** A quoted, schema-qualified name of a table, view or function of this installation. */
  of(name: string): string
}

/**
 * Names for one schema.
 *
 * @throws MILLRACE_BAD_SCHEMA when the name is not lower-case letters, digits and underscores (at most 40).
 */
export function names(schema: string): Names {
  const quoted = quoteIdentifier(schema)
  return Object.freeze({
    plain: schema,
    schema: quoted,
    channel: `${schema}_events`,
    of: (name: string) => `${quoted}.${quoteIdentifier(name)}`,
  })
}

function quoteIdentifier(name: string): string {
  if (typeof name !== "string" || !identifier.test(name)) {
    throw new MillraceError(
      "MILLRACE_BAD_SCHEMA",
      `${JSON.stringify(name)} cannot be a name in the database: use lower-case letters, digits and "_", starting with ` +
        `a letter or "_", at most 40 characters (for example "millrace" or "billing_jobs").`,
    )
  }
  return `"${name}"`
}

/** A PostgreSQL array literal of values that need no escaping (UUIDs, integers); far cheaper than a driver's generic one. */
export const plainArray = (values: readonly (string | number)[]): string => `{${values.join(",")}}`

/** A PostgreSQL `text[]` literal; `null` stays NULL. */
export function textArray(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? "NULL" : `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`)).join(",")}}`
}

/** Quotes a name that is not ours, as the catalogue has it: any text. */
export const quoteForeign = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A text literal, for SQL that has no parameters: the bodies of functions. */
export const quoteLiteral = (text: string): string => `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`

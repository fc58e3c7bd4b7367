/**
 * The seam between Millrace and PostgreSQL is the connection. Everything that Millrace does is text with `$1` parameters
 * sent through one of these; an adapter makes them out of a pool, a client or an ORM's transaction handle.
 */

/** Rows as plain objects, and how many were returned or changed. */
export interface Rows<Row> {
  rows: Row[]
  count: number
  /** Of `probe`: the server process that the driver was told it is connected to. */
  backend?: number | undefined
}

/** Something that runs SQL: a pool, or one transaction. */
export interface Connection {
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Rows<Row>>
}

/** A transaction that we opened: everything inside is committed together, or nothing. */
export type Transaction = Connection

/** Told about what arrives on a listening session, and when that session was lost and came back. */
export interface ListenEvents {
  message(payload: string): void
  /** Listening (again): whatever was sent before may have been missed. */
  listening(): void
  lost(error: unknown): void
}

export interface Listening {
  close(): Promise<void>
}

/** A way to PostgreSQL. */
export interface Database extends Connection {
  transaction<T>(run: (tx: Transaction) => Promise<T>): Promise<T>
  /** Opens a session of its own that listens on a channel, and keeps it open until closed. */
  listen(channel: string, events: ListenEvents): Listening
  /** Like `query`, and tells the connection's own idea of the server process: a pooler shows by its being another one. */
  probe?<Row = Record<string, unknown>>(text: string): Promise<Rows<Row>>
  /** How to open a connection elsewhere (another thread); absent when only the caller's pool knows. */
  readonly dsn?: string
  close(): Promise<void>
}

/**
 * What a caller may hand over as `tx`: anything with `query(text, values)` that resolves to an object with `rows`
 * (a `pg` client or pool client inside its own transaction).
 */
export interface CallerTransaction {
  query(text: string, values?: unknown[]): Promise<unknown>
}

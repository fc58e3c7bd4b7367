import type { JobRecord } from "../../model/job.ts"
import type { Rule } from "../../model/rule.ts"

/** Who is asking, as an `auth` function tells it. */
export interface Visitor {
  /** Stands in the audit. */
  readonly name: string
  /**
   * `viewer`: reads everything but the audit and the tokens. `operator`: acts on jobs, queues and plugins as well. `admin`: everything.
   * Default `viewer`.
   */
  readonly role?: Role
  /** Exactly these permissions instead of a role's: `"jobs:read"`, `"queues:*"`. */
  readonly permissions?: readonly string[]
  /** Only these queues, as globs. Default: all. */
  readonly queues?: readonly string[]
  /** Only jobs that it holds for: rows of a tenant, say. Every list, count, stream and action is kept within it. */
  readonly rule?: Rule
}

export type Role = "viewer" | "operator" | "admin"

/** What the resolver decides about. */
export interface Access {
  readonly visitor: Visitor
  /** Such as `"jobs:cancel"`. */
  readonly permission: string
  /** The queue in question, where there is one. */
  readonly queue?: string
  /** The job in question, where there is one. */
  readonly job?: JobRecord
}

/** Says yes or no to one action; called after the role has agreed. */
export type Authorize = (access: Access) => boolean | Promise<boolean>

/** Finds out who sends a request; undefined: nobody that may see anything. A Response is sent as it is (a redirect to a login). */
export type Authenticate = (
  request: Request,
) => Visitor | Response | undefined | null | Promise<Visitor | Response | undefined | null>

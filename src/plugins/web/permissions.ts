import type { Role, Visitor } from "./visitor.ts"

/*
 * Every route names a permission; what no route names cannot be reached. Plugins bring permissions of their own, read by
 * the same patterns: what ends in ":read" is for looking.
 */

/** The permissions of the routes here, with what they allow. */
export const permissions = {
  "overview:read": "See figures and health",
  "jobs:read": "List jobs, read one with its payload and logs",
  "jobs:push": "Push jobs, and clone them",
  "jobs:edit": "Change payload, priority and time of waiting jobs; snooze and move them",
  "jobs:run": "Run waiting jobs now",
  "jobs:retry": "Run finished jobs again",
  "jobs:cancel": "Cancel jobs",
  "jobs:delete": "Delete jobs, and restore deleted ones",
  "operations:read": "See what happens to many jobs at once",
  "queues:read": "List queues",
  "queues:pause": "Pause and resume queues",
  "queues:edit": "Change limits of queues",
  "workers:read": "List workers",
  "events:read": "Follow events as they happen",
  "views:read": "Read saved views",
  "views:write": "Save and remove views",
  "marks:read": "See marks on the charts",
  "marks:write": "Mark deployments and the like on the charts",
  "audit:read": "Read who did what",
  "tokens:read": "List API tokens",
  "tokens:write": "Make and revoke API tokens",
} as const

export type Permission = keyof typeof permissions

const forAdmins = (permission: string): boolean => /^(audit|tokens):/.test(permission)

const byRole: Readonly<Record<Role, (permission: string) => boolean>> = {
  viewer: (permission) => permission.endsWith(":read") && !forAdmins(permission),
  operator: (permission) => !forAdmins(permission),
  admin: () => true,
}

export const roles = Object.keys(byRole) as readonly Role[]

/** Whether the visitor's role, or its list of permissions, holds this one. */
export function holds(visitor: Visitor, permission: string): boolean {
  if (visitor.permissions) return visitor.permissions.some((granted) => covers(granted, permission))
  return (byRole[visitor.role ?? "viewer"] ?? byRole.viewer)(permission)
}

/** `*` covers all, `jobs:*` all of jobs; anything else only itself. */
function covers(granted: string, permission: string): boolean {
  if (granted === "*" || granted === permission) return true
  return granted.endsWith(":*") && permission.startsWith(granted.slice(0, -1))
}

/** Which of these a visitor holds. */
export const grantsOf = (visitor: Visitor, known: Iterable<string>): string[] =>
  [...known].filter((permission) => holds(visitor, permission))

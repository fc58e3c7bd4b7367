/** The dashboard and its HTTP API: as a plugin of workers, mounted into a server of yours, or alone. */
export { serveWeb, web, webHandler } from "./plugins/web/index.ts"
export type { WebPlugin } from "./plugins/web/index.ts"
export type { WebHandler } from "./plugins/web/handler.ts"
export type { HandlerOptions, Redact, WebOptions } from "./plugins/web/options.ts"
export { hashPassword, passwordAuth } from "./plugins/web/passwords.ts"
export type { PasswordAuth, User } from "./plugins/web/passwords.ts"
export type { Access, Authenticate, Authorize, Role, Visitor } from "./plugins/web/visitor.ts"

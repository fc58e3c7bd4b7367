// The dashboard over the demo's database, on this machine alone and without a password.
import type { Millrace } from "millrace"
import { serveWeb } from "millrace/web"
import { codeOf } from "./problem.ts"

export interface Dashboard extends AsyncDisposable {
  readonly url: string
}

const usual = 8_000

/** On port 8000, or on any that is free. */
export async function openDashboard(app: Millrace): Promise<Dashboard> {
  const serve = (port: number) =>
    serveWeb(app, { port, environment: "demo", auth: () => ({ name: "you", role: "admin" }) })
  const server = await serve(usual).catch((error: unknown) => {
    if (codeOf(error) !== "EADDRINUSE") throw error
    return serve(0)
  })
  return { url: server.url, [Symbol.asyncDispose]: () => server.close() }
}

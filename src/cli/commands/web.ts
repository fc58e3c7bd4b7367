import type { Role } from "../../web.ts"
import { UsageError, type Call, type Command } from "../command.ts"

export const webCommands: readonly Command[] = [
  {
    name: "web",
    summary: "Serves the dashboard and its API until SIGTERM",
    options: {
      host: { type: "string", value: "ADDRESS", doc: "Address to listen on. Default: 127.0.0.1." },
      port: { type: "string", value: "PORT", doc: "Port to listen on; 0 for any. Default: 8000." },
      "base-path": { type: "string", value: "PATH", doc: "Where a proxy mounts it, such as /jobs. Default: /." },
      user: { type: "string", value: "NAME", doc: "Who signs in. Default: admin." },
      role: { type: "string", value: "ROLE", doc: "What the user may do: viewer, operator or admin. Default: admin." },
      "read-only": { type: "boolean", doc: "Nobody may change anything." },
      environment: { type: "string", value: "LABEL", doc: "A label on every page, such as production." },
      origin: {
        type: "string",
        multiple: true,
        value: "URL",
        doc: "Public origin, behind a proxy that changes the host.",
      },
    },
    examples: ["millrace web", "MILLRACE_WEB_PASSWORD=… millrace web --host 0.0.0.0 --user ada"],
    run: serve,
  },
]

async function serve(call: Call): Promise<number> {
  const { passwordAuth, serveWeb } = await import("../../web.ts") // no other command needs a server
  const users = usersOf(call)
  const stop = stopped()
  const server = await serveWeb(await call.app(), {
    ...textsOf(call),
    port: portOf(call),
    readOnly: call.flag("read-only"),
    origins: [...call.texts("origin")],
    ...(users ? { auth: passwordAuth({ users }) } : {}),
  })
  const { login, url } = server
  if (call.out.json) call.out.document({ url, ...(login ? { user: login.name, password: login.password } : {}) })
  else {
    call.out.line(`The dashboard is at ${url}`)
    if (login) call.out.line(`Sign in as "${login.name}" with the password ${login.password}`)
  }
  await stop
  await server.close()
  return 0
}

const textsOf = (call: Call) => {
  const [host, basePath, environment] = ["host", "base-path", "environment"].map((name) => call.text(name))
  return {
    ...(host === undefined ? {} : { host }),
    ...(basePath === undefined ? {} : { basePath }),
    ...(environment === undefined ? {} : { environment }),
  }
}

function portOf(call: Call): number {
  const text = call.text("port") ?? "8000"
  if (/^\d{1,5}$/.test(text)) return Number(text)
  throw new UsageError(`--port takes a number, not ${JSON.stringify(text)}`)
}

/** A password comes from the environment: what stands on a command line is seen by everybody on the machine. */
function usersOf(call: Call) {
  const password = process.env.MILLRACE_WEB_PASSWORD
  if (password === undefined || password === "") return undefined
  const role = (call.text("role") ?? "admin") as Role
  return { [call.text("user") ?? "admin"]: { password, role } }
}

function stopped(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve())
  })
}

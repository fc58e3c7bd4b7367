import { createHmac } from "node:crypto"
import nodemailer from "nodemailer"
import { alerts, email, webhook, type AlertChannel, type Notification } from "millrace/worker"
import { expect, onTestFinished, test } from "vitest"
import { smtpServer } from "../support/smtp.ts"
import { startApp, until } from "../support/start-app.ts"
import { webReceiver, type Answer } from "../support/web-receiver.ts"

/** An app whose one rule fires, and tells the channel. Retries do not wait: the clock of the database is turned for them. */
async function firing(channel: AlertChannel) {
  const check = () => [{ subject: "disk", text: "The disk is full.", value: 99 }]
  const rules = [{ name: "wrong", kind: "custom", check, severity: "critical" }] as const
  const own = alerts({ rules, channels: [channel], every: "60ms" })
  const started = await startApp({ app: { plugins: [own] }, queues: [{ name: "alerts", pollInterval: "50ms" }] })
  const hurry = () => started.sql("update $schema.jobs set run_at = now() where state = 'retrying'")
  const job = async () => {
    const [found] = await started.sql<{ id: string; state: string; attempts: number; errors: { message: string }[] }>(
      "select id, state::text, attempts, errors from $schema.all_jobs where name = 'millrace.alert'",
    )
    return found
  }
  return {
    ...started,
    hurry,
    job,
    over: (state: string) => until(async () => (await hurry(), (await job())?.state === state)),
  }
}

async function receiver(answer?: (nth: number, path: string) => Answer) {
  const server = await webReceiver(answer && (({ path }, nth) => answer(nth, path)))
  onTestFinished(() => server.close())
  return server
}

test("a webhook gets the event as JSON, signed so that Standard Webhooks' libraries accept it", async () => {
  const server = await receiver()
  const secret = `whsec_${Buffer.from("a secret of the receiver").toString("base64")}`
  const { job, over } = await firing(webhook({ url: `${server.url}/hook`, secret, headers: { "x-team": "ops" } }))
  await over("succeeded")
  expect(server.received).toHaveLength(1)
  const [{ path, headers, body }] = server.received as [(typeof server.received)[0]]
  expect(path).toBe("/hook")
  expect(JSON.parse(body)).toMatchObject({
    kind: "firing",
    event: { rule: "wrong", subject: "disk", severity: "critical", value: 99, text: "The disk is full." },
  })
  expect(headers).toMatchObject({
    "content-type": "application/json",
    "x-team": "ops",
    "webhook-id": (await job())!.id,
  })
  const signed = `${headers["webhook-id"] as string}.${headers["webhook-timestamp"] as string}.${body}`
  const expected = createHmac("sha256", "a secret of the receiver").update(signed).digest("base64")
  expect(headers["webhook-signature"]).toBe(`v1,${expected}`)
})

test("a webhook that fails is tried again, with the same id, until it is accepted", async () => {
  const server = await receiver((nth) => ({ status: nth < 3 ? 500 : 200 }))
  const { job, over } = await firing(webhook({ url: server.url }))
  await over("succeeded")
  expect(server.received).toHaveLength(3)
  expect(new Set(server.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1)
  expect((await job())!.errors.map(({ message }) => message)).toEqual([
    `${server.url} answered with status 500`,
    `${server.url} answered with status 500`,
  ])
})

test("a receiver may say when to come again, or never", async () => {
  const busy = await receiver(() => ({ status: 429, headers: { "retry-after": "3000" } }))
  const first = await firing(webhook({ url: busy.url }))
  await until(async () => (await first.job())?.state === "retrying")
  const [{ later }] = (await first.sql(
    "select run_at > now() + interval '45 minutes' as later from $schema.jobs where state = 'retrying'",
  )) as [{ later: boolean }]
  expect(later).toBe(true)
  const gone = await receiver(() => ({ status: 410 }))
  const second = await firing(webhook({ url: gone.url }))
  await until(async () => (await second.job())?.state === "failed")
  expect(gone.received).toHaveLength(1)
})

test("redirects are followed on the same host, a few times, and nowhere else", async () => {
  const other = await receiver()
  const server = await receiver((_, path) => {
    if (path === "/moved") return { status: 308, headers: { location: "/here" } }
    if (path === "/away") return { status: 307, headers: { location: `${other.url}/steal` } }
    if (path === "/round") return { status: 307, headers: { location: "/round" } }
    return path === "/page" ? { status: 302, headers: { location: "/here" } } : { status: 200 }
  })
  const moved = await firing(webhook({ url: `${server.url}/moved` }))
  await moved.over("succeeded")
  expect(server.received.map(({ path }) => path)).toEqual(["/moved", "/here"])
  const failures = {
    "/away": /redirects to .*, which is not followed$/,
    "/round": /redirects too often$/,
    "/page": /answered with status 302$/,
  }
  for (const [path, message] of Object.entries(failures)) {
    const { job } = await firing(webhook({ url: server.url + path }))
    await until(async () => ((await job())?.attempts ?? 0) > 0)
    expect((await job())!.errors[0]!.message).toMatch(message)
  }
  expect(other.received).toEqual([])
})

test("a receiver that never answers holds an attempt for its timeout only", async () => {
  const silent = await import("node:net").then(({ createServer }) => createServer(() => {}))
  await new Promise<void>((listening) => silent.listen(0, "127.0.0.1", listening))
  onTestFinished(() => void silent.close())
  const { port } = silent.address() as { port: number }
  const { job } = await firing(webhook({ url: `http://127.0.0.1:${port}`, timeout: "100ms" }))
  await until(async () => ((await job())?.attempts ?? 0) > 0)
  expect((await job())!.errors[0]!.message).toMatch(/timeout/)
})

test("the body may be another one, for those that want their own", async () => {
  const server = await receiver()
  const format = ({ event }: Notification) => ({ text: `:fire: ${event.text}` })
  const { over } = await firing(webhook({ url: server.url, format }))
  await over("succeeded")
  expect(JSON.parse(server.received[0]!.body)).toEqual({ text: ":fire: The disk is full." })
})

test("mail goes through SMTP, and is sent again under the same message id when the server refuses it", async () => {
  const server = await smtpServer({ refuse: 1 })
  onTestFinished(() => server.close())
  const transport = nodemailer.createTransport({ host: "127.0.0.1", port: server.port, ignoreTLS: true })
  onTestFinished(() => transport.close())
  const { job, over } = await firing(
    email({ transport, from: "Millrace <jobs@example.com>", to: ["ops@example.com", "ada@example.com"] }),
  )
  await over("succeeded")
  const sent = (await job())!
  expect(sent.errors).toHaveLength(1)
  expect(server.mails).toHaveLength(1)
  const [mail] = server.mails
  expect(mail).toMatchObject({ from: "jobs@example.com", to: ["ops@example.com", "ada@example.com"] })
  expect(mail!.data).toContain("Subject: firing (critical): wrong: The disk is full.")
  expect(mail!.data).toContain(`Message-ID: <${sent.id}@millrace>`)
  expect(mail!.data).toMatch(/^Severity: critical$/m)
})

test.each([
  [() => webhook({ url: "ftp://x" }), /an address of http or https/],
  [() => webhook({ url: "http://" }), /address/],
  [() => webhook({ url: "http://x", headers: { a: 1 } } as never), /must be \{ "x-name": "text" \}/],
  [() => email({ transport: {}, from: "a", to: ["b"] } as never), /must be a transport of nodemailer/],
  [() => email({ transport: { sendMail: async () => {} }, from: "a", to: [] }), /at least 1/],
])("bad options are refused where they are written: %#", (make, message) => {
  expect(make).toThrow(message)
})

import { defineJob, errorCodes, isMillraceError, Millrace, type ErrorCode } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { z } from "zod"
import { fixture, rejection, type Fixture } from "../support/app.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

const anything = defineJob<unknown>({ name: "anything" })
const user = defineJob({
  name: "user",
  payload: z.object({ name: z.string().min(1), address: z.object({ zip: z.string() }) }),
})

/** What a call throws, at once or later. */
async function thrown(call: () => unknown): Promise<Error & { code?: string }> {
  return rejection((async () => call())())
}

interface Case {
  readonly name: string
  readonly call: () => unknown
  readonly code: ErrorCode
  /** What the message must say: what is wrong, and what to do. */
  readonly says: RegExp
}

function refuses(cases: readonly Case[]) {
  test.each(cases.map((one) => [one.name, one] as const))("%s", async (_, { call, code, says }) => {
    const error = await thrown(call)
    expect(error).toMatchObject({ code })
    expect(isMillraceError(error, code)).toBe(true)
    expect(code in errorCodes).toBe(true)
    expect(error.message).toMatch(says)
    expect(error.message.length).toBeLessThan(1_000)
  })
}

const push = (payload: unknown) => () => app.push(anything, payload)
const pushWith = (options: object) => () => app.push(anything, null, options)

refuses([
  {
    name: "a payload that its schema refuses names the fields",
    call: () => app.push(user, { name: "", address: { zip: 5 } } as never),
    code: "MILLRACE_BAD_PAYLOAD",
    says: /"user" was refused by its schema: name: .*; address\.zip: /,
  },
  {
    name: "no payload where the schema wants one is refused",
    call: () => (app.push as (definition: unknown) => unknown).call(app, user),
    code: "MILLRACE_BAD_PAYLOAD",
    says: /"user" was refused/,
  },
])

const cycle: Record<string, unknown> = { name: "x" }
cycle.self = { back: [cycle] }

refuses(
  (
    [
      ["a bigint", { a: [1, { big: 10n }] }, /\$\.a\[1\]\.big/],
      ["a function", { run: () => 1 }, /\$\.run is a function/],
      ["a symbol", { is: Symbol("x") }, /\$\.is is a symbol/],
      ["NaN", { price: Number.NaN }, /\$\.price is NaN/],
      ["an infinity", [Number.POSITIVE_INFINITY], /\$\[0\] is Infinity/],
      ["a cycle", cycle, /\$\.self\.back\[0\]/],
      ["a Map", { map: new Map([[1, 2]]) }, /\$\.map is of class Map/],
      ["a Set", new Set([1]), /\$ is of class Set/],
      ["U+0000", { text: "a\0b" }, /\$\.text .*U\+0000/],
      ["U+0000 in a key", { "a\0b": 1 }, /key.*U\+0000/],
      ["half a surrogate pair", { text: "\ud83d" }, /\$\.text .*surrogate/],
      ["half a surrogate pair in a key", { "\udc00": 1 }, /key.*surrogate/],
      [
        "a getter that throws",
        {
          get now(): never {
            throw new Error("not now")
          },
        },
        /\$\.now .*not now/,
      ],
    ] as const
  ).map(([what, payload, says]) => ({
    name: `a payload with ${what} is refused, naming the place`,
    call: push(payload),
    code: "MILLRACE_BAD_JSON" as const,
    says: new RegExp(`"anything" cannot be stored as JSON: .*${says.source}`),
  })),
)

refuses([
  {
    name: "a payload over the limit is refused, with both sizes and what to do",
    call: push("x".repeat(262_144)),
    code: "MILLRACE_PAYLOAD_TOO_LARGE",
    says: /262146 bytes.*limit of 262144.*reference to it, or raise `maxPayload`/,
  },
  {
    name: "size counts bytes, not characters",
    call: push("ü".repeat(140_000)),
    code: "MILLRACE_PAYLOAD_TOO_LARGE",
    says: /280002 bytes/,
  },
  {
    name: "meta over its limit is refused",
    call: pushWith({ meta: { text: "x".repeat(70_000) } }),
    code: "MILLRACE_PAYLOAD_TOO_LARGE",
    says: /push\.meta is .*65,536/,
  },
  {
    name: "meta that is no object is refused",
    call: pushWith({ meta: ["list"] }),
    code: "MILLRACE_BAD_JSON",
    says: /push\.meta must be an object/,
  },
  {
    name: "meta that is not JSON is refused, naming the place",
    call: pushWith({ meta: { big: 1n } }),
    code: "MILLRACE_BAD_JSON",
    says: /push\.meta.*\$\.big/,
  },
  {
    name: "a tag with U+0000 is refused",
    call: pushWith({ tags: ["a\0b"] }),
    code: "MILLRACE_BAD_OPTION",
    says: /push\.tags\[0\]/,
  },
  {
    name: "a tag with half a surrogate pair is refused",
    call: pushWith({ tags: ["fine", "\ud83d"] }),
    code: "MILLRACE_BAD_OPTION",
    says: /push\.tags\[1\]/,
  },
])

refuses([
  {
    name: "a duration without a unit is refused, with what was meant",
    call: pushWith({ delay: "10" }),
    code: "MILLRACE_BAD_DURATION",
    says: /push\.delay: "10" has no unit; did you mean "10s"\?/,
  },
  {
    name: "a duration in words is refused, with ours",
    call: pushWith({ delay: "10 minutes" }),
    code: "MILLRACE_BAD_DURATION",
    says: /did you mean "10m"\?/,
  },
  {
    name: "a negative duration is refused",
    call: pushWith({ delay: -5 }),
    code: "MILLRACE_BAD_DURATION",
    says: /push\.delay: -5 is negative.*such as "90s"/,
  },
  {
    name: "a bad duration inside runAt is refused",
    call: pushWith({ runAt: "in a while" }),
    code: "MILLRACE_BAD_DURATION",
    says: /push\.runAt: "a while" is not a duration/,
  },
  {
    name: "a bad duration inside retention is refused, naming the side",
    call: pushWith({ retention: { failed: "never" } }),
    code: "MILLRACE_BAD_DURATION",
    says: /push\.retention\.failed/,
  },
  {
    name: "a time that is no moment is refused, with what is one",
    call: pushWith({ runAt: "tomorrow" }),
    code: "MILLRACE_BAD_OPTION",
    says: /push\.runAt: expected a Date.*, or text such as "in 10m", not "tomorrow"/,
  },
  {
    name: "an invalid Date is refused",
    call: pushWith({ expiresAt: new Date(Number.NaN) }),
    code: "MILLRACE_BAD_OPTION",
    says: /push\.expiresAt: expected a Date/,
  },
  {
    name: "a Date that PostgreSQL cannot hold is refused",
    call: pushWith({ runAt: new Date(8.64e15) }),
    code: "MILLRACE_BAD_OPTION",
    says: /push\.runAt/,
  },
  {
    name: "runAt and delay together are refused",
    call: pushWith({ runAt: "in 5m", delay: "5m" }),
    code: "MILLRACE_BAD_OPTION",
    says: /give one of them/,
  },
  {
    name: "a fractional priority is refused, with the range",
    call: pushWith({ priority: 0.5 }),
    code: "MILLRACE_BAD_OPTION",
    says: /push\.priority: expected a whole number from -1000000 to 1000000, not 0\.5/,
  },
  {
    name: "no attempts at all are refused",
    call: pushWith({ maxAttempts: 0 }),
    code: "MILLRACE_BAD_OPTION",
    says: /push\.maxAttempts: expected a whole number from 1 /,
  },
  {
    name: "wake that is no boolean is refused",
    call: pushWith({ wake: "no" }),
    code: "MILLRACE_BAD_OPTION",
    says: /push\.wake/,
  },
  {
    name: "a retention of null is refused",
    call: pushWith({ retention: null }),
    code: "MILLRACE_BAD_DURATION",
    says: /push\.retention/,
  },
  {
    name: "an empty unique key is refused, with the limits",
    call: pushWith({ uniqueKey: "" }),
    code: "MILLRACE_BAD_OPTION",
    says: /"anything": the unique key must be 1 to 500 characters/,
  },
  {
    name: "a unique key that is a number is refused",
    call: pushWith({ uniqueKey: 5 }),
    code: "MILLRACE_BAD_OPTION",
    says: /push\.uniqueKey: must be text, or \{ key, scope, … \}/,
  },
  {
    name: "a unique key that is null is refused",
    call: pushWith({ uniqueKey: null }),
    code: "MILLRACE_BAD_OPTION",
    says: /push\.uniqueKey: must be text, or \{ key, scope, … \}/,
  },
  {
    name: "a scope that does not exist is refused, with those that do",
    call: pushWith({ uniqueKey: { key: "k", scope: "queues" } }),
    code: "MILLRACE_BAD_OPTION",
    says: /"global", "queue", "name", not "queues"/,
  },
  {
    name: "options that are no plain object are refused",
    call: () => app.push(anything, null, new Map() as never),
    code: "MILLRACE_BAD_OPTION",
    says: /push: expected a plain object of options, not an instance of Map/,
  },
  {
    name: "payloads that are not iterable are refused",
    call: () => app.pushMany(anything, 5 as never),
    code: "MILLRACE_BAD_OPTION",
    says: /pushMany.*(iterable|array)/,
  },
  {
    name: "an id for many jobs is refused",
    call: () => app.pushMany(anything, [1, 2], { id: "0198c0de-0000-7000-8000-000000000000" } as never),
    code: "MILLRACE_BAD_OPTION",
    says: /id/,
  },
  {
    name: "something that is no definition is refused",
    call: () => app.push("anything" as never),
    code: "MILLRACE_BAD_OPTION",
    says: /defineJob/,
  },
])

const badNames = ["", " ", "with space", "-leading", "ünï", "a|b", "x".repeat(129), "semi;colon", 'quo"te']

refuses(
  badNames.flatMap((name) => [
    {
      name: `the queue name ${JSON.stringify(name.slice(0, 12))} is refused`,
      call: () => app.declareQueue({ name }),
      code: name === "" ? ("MILLRACE_BAD_OPTION" as const) : ("MILLRACE_BAD_NAME" as const),
      says: /queue\.name/,
    },
    {
      name: `the job name ${JSON.stringify(name.slice(0, 12))} is refused`,
      call: () => defineJob({ name }),
      code: name === "" ? ("MILLRACE_BAD_OPTION" as const) : ("MILLRACE_BAD_NAME" as const),
      says: /defineJob\.name/,
    },
  ]),
)

refuses([
  {
    name: "a bad queue of a push is refused, with what is allowed",
    call: pushWith({ queue: "a b" }),
    code: "MILLRACE_BAD_NAME",
    says: /push\.queue: "a b" is not a usable name\. Use 1 to 128 letters, digits/,
  },
  {
    name: "a bad queue of a definition is refused",
    call: () => defineJob({ name: "x", queue: "a b" }),
    code: "MILLRACE_BAD_NAME",
    says: /defineJob\.queue/,
  },
  {
    name: "a bad alias is refused",
    call: () => defineJob({ name: "x", aliases: ["a b"] }),
    code: "MILLRACE_BAD_NAME",
    says: /defineJob\.aliases/,
  },
  ...["Upper", "with-dash", "1st", "x".repeat(41), 'a"; drop schema public; --', "ünï"].map((schema) => ({
    name: `the schema name ${schema.slice(0, 20)} is refused, with one that is fine`,
    call: () => new Millrace({ dsn: own.url, schema, logger: false }),
    code: "MILLRACE_BAD_SCHEMA" as const,
    says: /lower-case letters, digits and "_".*for example "millrace"/,
  })),
])

const make = (options: object) => () => new Millrace({ logger: false, ...options })

refuses([
  {
    name: "another library's name of an option is refused, with ours",
    call: pushWith({ max_attempts: 3 }),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /push: there is no option "max_attempts"\. It is called "maxAttempts" here/,
  },
  {
    name: "a misspelt option is refused, with the nearest",
    call: pushWith({ piority: 3 }),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /push: there is no option "piority".*"?priority"?/,
  },
  {
    name: "an option like no other is refused, with all there are",
    call: pushWith({ zzzzzzzz: 3 }),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /"zzzzzzzz"\. Known: queue, priority, .*wake/,
  },
  {
    name: "an unknown option of a definition is refused",
    call: () => defineJob({ name: "x", retryLimit: 3 } as never),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /defineJob: .*"retryLimit".*"maxAttempts"/,
  },
  {
    name: "an unknown option of a queue is refused, with ours",
    call: () => app.declareQueue({ name: "q", polling_interval: "1s" } as never),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /queue: .*"polling_interval".*"pollInterval"/,
  },
  {
    name: "what others call an option of a queue is refused, saying what it is called here",
    call: () => app.declareQueue({ name: "q", rate_limit: 5 } as never),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /rateLimit/,
  },
  {
    name: "an unknown option of declareQueue is refused",
    call: () => app.declareQueue("q", { upset: true } as never),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /declareQueue: .*"upset".*upsert/,
  },
  {
    name: "an unknown option of pauseQueue is refused",
    call: async () => {
      await app.declareQueue("paused")
      return app.pauseQueue("paused", { untill: "in 5m" } as never)
    },
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /pauseQueue: .*"untill".*until/,
  },
  {
    name: "an unknown option of deleteQueue is refused",
    call: async () => {
      await app.declareQueue("kept")
      return app.deleteQueue("kept", { job: true } as never)
    },
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /deleteQueue: .*"job".*jobs/,
  },
  {
    name: "an unknown option of result is refused",
    call: () => app.job("0198c0de-0000-7000-8000-000000000000").result({ timout: 5 } as never),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /result: .*"timout".*timeout/,
  },
  {
    name: "an unknown option of update is refused",
    call: () => app.job("0198c0de-0000-7000-8000-000000000000").update({ piority: 5 } as never),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /update: .*"piority".*priority/,
  },
  {
    name: "an unknown option of retention is refused",
    call: pushWith({ retention: { succeded: "1d" } }),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /push\.retention: .*"succeded".*succeeded/,
  },
  {
    name: "an unknown option of backoff is refused",
    call: pushWith({ backoff: { intial: "1s" } }),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /push\.backoff: .*"intial".*initial/,
  },
  {
    name: "an unknown option of Millrace is refused, with ours",
    call: make({ connectionString: "postgres://localhost/" }),
    code: "MILLRACE_UNKNOWN_OPTION",
    says: /Millrace: .*"connectionString".*"dsn"/,
  },
  {
    name: "neither dsn nor pool is refused, with both",
    call: make({}),
    code: "MILLRACE_BAD_OPTION",
    says: /give either `dsn` .* or `pool`/,
  },
  {
    name: "both dsn and pool are refused",
    call: () => make({ dsn: own.url, pool: own.pool })(),
    code: "MILLRACE_BAD_OPTION",
    says: /give either `dsn` .* or `pool`/,
  },
  {
    name: "an empty dsn is refused",
    call: make({ dsn: "" }),
    code: "MILLRACE_BAD_OPTION",
    says: /Millrace\.dsn: expected text that is not empty/,
  },
  {
    name: "a pool that is none is refused",
    call: make({ pool: { query() {} } }),
    code: "MILLRACE_BAD_OPTION",
    says: /Millrace\.pool: must be a pg\.Pool/,
  },
  {
    name: "a logger that lacks a level is refused",
    call: () => make({ dsn: own.url, logger: { info() {} } })(),
    code: "MILLRACE_BAD_OPTION",
    says: /Millrace\.logger: must be an object with debug, info, warn and error, or false/,
  },
  {
    name: "a bad queue of an app is refused at once",
    call: () => make({ dsn: own.url, queues: [{ name: "a b" }] })(),
    code: "MILLRACE_BAD_NAME",
    says: /queue\.name/,
  },
  {
    name: "a payload schema that is none is refused",
    call: () => defineJob({ name: "x", payload: { type: "object" } } as never),
    code: "MILLRACE_BAD_OPTION",
    says: /defineJob\.payload: must be a Standard Schema/,
  },
  {
    name: "a batch size out of range is refused",
    call: () => anything.batch({ size: 0 }, () => {}),
    code: "MILLRACE_BAD_OPTION",
    says: /batch\.size of "anything" must be a whole number from 1 to 10,000, not 0/,
  },
  {
    name: "a handler that is no function is refused",
    call: () => anything.handler("run" as never),
    code: "MILLRACE_BAD_OPTION",
    says: /handler of "anything" must be a function/,
  },
  {
    name: "a tag pattern that is no glob is refused",
    call: () => app.declareQueue({ name: "q", tags: ["^gpu.*$"] }),
    code: "MILLRACE_BAD_OPTION",
    says: /queue\.tags\[0\]/,
  },
  {
    name: "an executor's options with U+0000 are refused",
    call: () => app.declareQueue({ name: "q", executorOptions: { a: "\0" } }),
    code: "MILLRACE_BAD_OPTION",
    says: /queue\.executorOptions/,
  },
])

refuses(
  ["", "1", "not-a-uuid", "0198c0de-0000-7000-8000-00000000000g", undefined, null, 5].flatMap((id) => [
    {
      name: `the id ${JSON.stringify(id) ?? "undefined"} is refused by job()`,
      call: () => app.job(id as string),
      code: "MILLRACE_BAD_ID" as const,
      says: /UUID, not /,
    },
    ...(id === undefined
      ? []
      : [
          {
            name: `the id ${JSON.stringify(id)} is refused by push()`,
            call: pushWith({ id }),
            code: "MILLRACE_BAD_ID" as const,
            says: /push\.id: expected a UUID, not /,
          },
        ]),
  ]),
)

test("nothing that was refused has been stored", async () => {
  const { rows } = await own.pool.query("select name, payload from millrace.jobs")
  expect(rows).toEqual([])
})

test("a closed app refuses everything, and says what to do", async () => {
  const closed = await own.app()
  const job = closed.job("0198c0de-0000-7000-8000-000000000000")
  await closed.close()
  await closed.close()
  const calls: (() => unknown)[] = [
    () => closed.push(anything, null),
    () => closed.pushMany(anything, [1]),
    () => closed.push(anything, null, { tx: own.pool }),
    () => closed.declareQueue("q"),
    () => closed.queues(),
    () => closed.queue("q"),
    () => closed.pauseQueue("q"),
    () => closed.resumeQueue("q"),
    () => closed.deleteQueue("q"),
    () => closed.wait([job]),
    () => closed.migrate(),
    () => job.get(),
    () => job.result({ timeout: "20s" }),
    () => job.cancel(),
    () => job.retry(),
    () => job.update({ priority: 1 }),
  ]
  const told = await Promise.all(
    calls.map(async (call) => `${call.toString().slice(6)} → ${(await thrown(call)).code}`),
  )
  expect(told).toEqual(calls.map((call) => `${call.toString().slice(6)} → MILLRACE_CLOSED`))
  expect((await thrown(calls[0]!)).message).toContain("make a new Millrace")
})

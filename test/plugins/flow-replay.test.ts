import { defineFlow, defineJob, flows, type Flow, type Handler } from "millrace"
import { expect, test } from "vitest"
import { gate } from "../support/app.ts"
import { startApp, until } from "../support/start-app.ts"

const timeout = "20s"

type Code = (flow: Flow) => Promise<unknown>

/** An app without a worker; `deploy` stops the one that runs and starts one with other code. */
async function start() {
  const plugin = flows({ sweep: "200ms" })
  const scene = await startApp({ worker: false, app: { plugins: [plugin] } })
  const definition = defineFlow<undefined, unknown>({ name: "flow", maxAttempts: 2, backoff: { initial: 0 } })
  let running: Awaited<ReturnType<typeof scene.addWorker>> | undefined
  const deploy = async (code: Code, others: readonly Handler[] = []) => {
    await running?.stop()
    running = await scene.addWorker({ handlers: [definition.handler(code), ...others] })
  }
  const push = () => scene.app.push(definition)
  const waiting = (id: string) => until(async () => (await plugin.get(id))?.state === "waiting")
  const ended = async (id: string) => (await scene.app.wait([scene.app.job(id)], { timeout }))[0]!
  return { ...scene, flows: plugin, deploy, push, waiting, ended }
}

const first: Code = async (flow) => {
  const a = await flow.step("a", () => "a1")
  const b = await flow.step("b", () => "b1")
  const go = await flow.waitFor("go")
  return [a, b, go, await flow.step("c", () => "c1")]
}

/** Runs `first` up to its wait, deploys other code, sends the signal, and returns how it ended. */
async function changedTo(code: Code) {
  const scene = await start()
  await scene.deploy(first)
  const { id } = await scene.push()
  await scene.waiting(id)
  await scene.deploy(code)
  await scene.flows.signal(id, "go", "went")
  return { ...scene, id, record: await scene.ended(id) }
}

const effects: string[] = []
const effect = (name: string) => () => {
  effects.push(name)
  return name
}

test.each<[string, Code, RegExp]>([
  [
    "a step that is gone",
    async (flow) => {
      await flow.step("a", effect("a"))
      await flow.waitFor("go")
      await flow.step("c", effect("c"))
    },
    /step 2, "b" \(a step\), is recorded, but the code never asks for it/,
  ],
  [
    "a step with another name",
    async (flow) => {
      await flow.step("a", effect("a"))
      await flow.step("b2", effect("b2"))
      await flow.waitFor("go")
    },
    /"b" \(a step\), is recorded, but the code asked for "b2" \(a step\) instead/,
  ],
  [
    "a new step in between",
    async (flow) => {
      await flow.step("a", effect("a"))
      await flow.step("new", effect("new"))
      await flow.step("b", effect("b"))
      await flow.waitFor("go")
    },
    /"b" \(a step\), is recorded, but the code asked for "new" \(a step\) instead/,
  ],
  [
    "steps that changed places",
    async (flow) => {
      await flow.step("b", effect("b"))
      await flow.step("a", effect("a"))
      await flow.step("new", effect("new"))
      await flow.waitFor("other")
    },
    /"a" \(a step\)|"go"/,
  ],
  [
    "another kind of the same name",
    async (flow) => {
      await flow.step("a", effect("a"))
      await flow.sleep("b", "1s")
    },
    /"b" \(a step\), is recorded, but the code asked for "b" \(a sleep\) instead/,
  ],
  [
    "code that returns early",
    async (flow) => {
      await flow.step("a", effect("a"))
      return "early"
    },
    /"b" \(a step\), is recorded, but the code returned without it/,
  ],
])("changed code is reported and nothing is run: %s", async (_, code, message) => {
  effects.length = 0
  const { record, flows: plugin, id } = await changedTo(code)
  expect(record).toMatchObject({ state: "failed", errors: [{ code: "MILLRACE_FLOW_CHANGED" }] })
  expect(record.errors[0]!.message).toMatch(message)
  expect(effects).toEqual([])
  expect(await plugin.get(id)).toMatchObject({ state: "failed", error: { code: "MILLRACE_FLOW_CHANGED" } })
})

test("a run parked for changed code goes on after a fixed deploy, and its signal is still there", async () => {
  const { id, app, flows: plugin, deploy } = await changedTo(async (flow) => flow.step("other", () => 1))
  await deploy(first)
  await plugin.resume(id)
  expect(await app.job(id).result({ timeout })).toEqual(["a1", "b1", "went", "c1"])
})

test("patched code applies to new runs and not to those that were past it", async () => {
  const code: Code = async (flow) => {
    const a = await flow.step("a", () => "a2")
    const check = (await flow.patched("check")) ? await flow.step("check", () => "checked") : "old"
    const b = await flow.step("b", () => "b2")
    const go = await flow.waitFor("go")
    const late = (await flow.patched("late")) ? "late" : "early"
    return [a, check, b, go, late, await flow.step("c", () => "c2")]
  }
  const { record, push, app, flows: plugin, waiting } = await changedTo(code)
  expect(record.result).toEqual(["a1", "old", "b1", "went", "late", "c2"])
  const next = await push()
  await waiting(next.id)
  await plugin.signal(next.id, "go", "now")
  expect(await app.job(next.id).result({ timeout })).toEqual(["a2", "checked", "b2", "now", "late", "c2"])
})

test("code may await something of its own between the steps, also while replaying", async () => {
  const { deploy, push, waiting, flows: plugin, ended } = await start()
  await deploy(async (flow) => {
    const a = await flow.step("a", () => 1)
    await fetch("data:text/plain,slow").then((response) => response.text())
    const b = await flow.step("b", () => 2)
    await flow.waitFor("go")
    return a + b
  })
  const { id } = await push()
  await waiting(id)
  await plugin.signal(id, "go")
  expect((await ended(id)).result).toBe(3)
})

test("branches that interleave replay in the order in which they first went", async () => {
  const seen: string[][] = []
  const gates = new Map(["a1", "b1", "b2"].map((name) => [name, gate()]))
  const { deploy, push, waiting, flows: plugin, ended } = await start()
  await deploy(async (flow) => {
    const order: string[] = []
    seen.push(order)
    const step = async (name: string) => {
      await flow.step(name, () => gates.get(name)?.opened)
      order.push(name)
      if (name === "b1") gates.get("b2")!.open()
      if (name === "b2") gates.get("a1")!.open()
    }
    const branch = async (...names: string[]) => {
      for (const name of names) await step(name)
    }
    gates.get("b1")!.open()
    await Promise.all([branch("a1", "a2"), branch("b1", "b2")])
    await flow.waitFor("go")
    return order
  })
  const { id } = await push()
  await waiting(id)
  await plugin.signal(id, "go")
  expect((await ended(id)).result).toEqual(["b1", "b2", "a1", "a2"])
  expect(seen[1]).toEqual(seen[0])
})

test("a step whose promise nobody awaited neither ends the process nor is lost", async () => {
  const { deploy, push, ended, app } = await start()
  const child = defineJob<null, string>({ name: "child" })
  await deploy(
    async (flow) => {
      const late = flow.step("fails", () => Promise.reject(new Error("late")), { retry: { maxAttempts: 1 } })
      await flow.sleep("30ms")
      void flow.push(child, null)
      return late.catch((error: unknown) => (error as { code: string }).code)
    },
    [child.handler(() => "ran")],
  )
  const { id } = await push()
  expect((await ended(id)).result).toBe("MILLRACE_STEP_FAILED")
  const { jobs } = await app.find({ name: "child" })
  expect(jobs).toHaveLength(1)
})

test("values come back as JSON gives them, at once and at the replay, keys in their order", async () => {
  const seen: string[] = []
  const { deploy, push, waiting, flows: plugin, ended } = await start()
  await deploy(async (flow) => {
    const value = await flow.step("value", () => ({ z: 1, a: new Date(0), gone: undefined, n: null, list: [1, "x"] }))
    const nothing = await flow.step("nothing", () => {})
    const none = await flow.step("null", () => null)
    seen.push(`${JSON.stringify(value)} ${nothing} ${none}`)
    await flow.waitFor("go")
    return seen.length
  })
  const { id } = await push()
  await waiting(id)
  await plugin.signal(id, "go")
  await ended(id)
  expect(seen).toEqual(Array(2).fill('{"z":1,"a":"1970-01-01T00:00:00.000Z","n":null,"list":[1,"x"]} undefined null'))
})

test("a log line of the flow stands in the job's log once, however often it is replayed", async () => {
  const { deploy, push, app, ended } = await start()
  await deploy(async (flow) => {
    flow.log("begun")
    await flow.sleep("20ms")
    flow.log("slept")
    await flow.step("a", () => 1)
    await flow.sleep("20ms")
    flow.log("done")
  })
  const { id } = await push()
  await ended(id)
  expect((await app.job(id).logs()).map((line) => line.message)).toEqual(["begun", "slept", "done"])
})

test("an error between the steps is an attempt of the job, and the next one replays", async () => {
  let ran = 0
  let failed = false
  const { deploy, push, ended } = await start()
  await deploy(async (flow) => {
    await flow.step("a", () => void (ran += 1))
    if (!failed) {
      failed = true
      throw new TypeError("a bug")
    }
    return "fixed"
  })
  const { id } = await push()
  expect(await ended(id)).toMatchObject({ result: "fixed", attempts: 2, errors: [{ name: "TypeError" }] })
  expect(ran).toBe(1)
})

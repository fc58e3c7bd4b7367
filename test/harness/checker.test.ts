import { expect, test } from "vitest"
import { check } from "../../faults/checker.ts"
import { Tale } from "./tale.ts"

const rules = (tale: Tale) => [...new Set(check(tale.evidence).violations.map(({ rule }) => rule))]

test("a job that is pushed, claimed, run and settled breaks no promise", () => {
  const tale = new Tale().pushed("a").run("a", 1).finished("a")
  expect(check(tale.evidence)).toMatchObject({ violations: [], jobs: 1, runs: 1, lost: 0, unexplainedDuplicates: 0 })
})

test("an acknowledged job that was never stored is lost", () => {
  const tale = new Tale().pushed("a").run("a", 1).finished("a")
  tale.note("p0.1", { t: "push", mark: "of-b", job: "task", script: { mark: "of-b", ms: 1, fails: 0, snoozes: 0, obey: true }, maxAttempts: 6 }) // prettier-ignore
  tale.note("p0.1", { t: "pushed", mark: "of-b", id: "b", duplicate: false })
  expect(rules(tale)).toEqual(["lost"])
})

test("an acknowledged job that is gone without an end is lost", () => {
  expect(rules(new Tale().pushed("a").claimed("a", 1).move({ id: "a", op: "delete" }))).toContain("lost")
})

test("a job that is left when everything should be done is stuck", () => {
  const tale = new Tale().pushed("a")
  tale.left.push({ id: "a", state: "pending", name: "task", mark: "of-a" })
  tale.drainedIn = undefined
  expect(rules(tale)).toEqual(["stuck"])
})

test("a job whose push was rolled back is a phantom", () => {
  const tale = new Tale().pushed("a", "task", { silent: true })
  tale.note("p0.1", { t: "unpushed", mark: "of-a", code: "rolled back", sure: true }).run("a", 1).finished("a")
  expect(rules(tale)).toEqual(["phantom"])
})

test("a job whose push was not confirmed may exist, and may not", () => {
  const tale = new Tale().pushed("a", "task", { silent: true })
  tale.note("p0.1", { t: "unpushed", mark: "of-a", code: "MILLRACE_PUSH_UNKNOWN", sure: false }).run("a", 1)
  expect(rules(tale.finished("a"))).toEqual([])
})

test("two jobs of one push are one too many", () => {
  const tale = new Tale().pushed("a").run("a", 1).finished("a")
  tale
    .move({ id: "b", op: "insert", now: "pending", mark: "of-a" })
    .run("b", 1)
    .finished("b", "succeeded", { mark: "of-a" })
  expect(rules(tale)).toContain("phantom")
})

test("a run without a claim, and two runs of one claim, are violations", () => {
  expect(rules(new Tale().pushed("a").run("a", 1).started("a", 7).finished("a"))).toContain("claim")
  expect(rules(new Tale().pushed("a").run("a", 1).started("a", 1, "w1.1").finished("a"))).toContain("claim")
})

test("a job that is claimed before it is due is a violation", () => {
  const tale = new Tale().pushed("a").run("a", 1).finished("a")
  tale.moves[1]!.due = tale.now + 500
  expect(rules(tale)).toEqual(["early"])
})

const takenBack = (tale: Tale) =>
  tale
    .takenBack("a")
    .run("a", 2, "w1.1")
    .finished("a", "succeeded", { result: { claims: 2 } })

test("a job that is run again after its worker was killed is explained by that", () => {
  const tale = new Tale().pushed("a").claimed("a", 1).started("a", 1).fault("kill", "w0").pass(3_000)
  expect(check(takenBack(tale).evidence)).toMatchObject({ violations: [], reruns: { kill: 1 } })
})

test("the time until a job of a killed worker is taken back is counted from the kill", () => {
  const tale = new Tale().pushed("a").claimed("a", 1).started("a", 1).pass(10).fault("kill", "w0").pass(3_000)
  expect(check(takenBack(tale).evidence).recoveries).toEqual([3_001])
})

test("a job that is run again for no reason is an unexplained duplicate", () => {
  const tale = new Tale().pushed("a").claimed("a", 1).started("a", 1).pass(3_000)
  expect(check(takenBack(tale).evidence)).toMatchObject({ unexplainedDuplicates: 1 })
})

test.each(["kill", "freeze"] as const)("a %s of another worker explains no second run", (kind) => {
  const tale = new Tale().pushed("a").claimed("a", 1).started("a", 1).fault(kind, "w2").pass(3_000)
  expect(rules(takenBack(tale))).toEqual(["unexplained"])
})

test.each(["cut", "lose", "doze", "terminate", "lock", "listener"] as const)(
  "a %s, which must cost no lease, explains no second run",
  (kind) => {
    const target = kind === "terminate" || kind === "lock" ? "server" : "w0"
    const tale = new Tale().pushed("a").claimed("a", 1).started("a", 1).fault(kind, target).pass(3_000)
    expect(rules(takenBack(tale))).toEqual(["unexplained"])
  },
)

test("a fault that was over long before explains nothing", () => {
  const tale = new Tale().fault("kill", "w0").pass(60_000).pushed("a").claimed("a", 1).started("a", 1).pass(3_000)
  expect(rules(takenBack(tale))).toEqual(["unexplained"])
})

test("a silence explains a second run only if it was long enough to cost the lease", () => {
  const told = (ms: number) =>
    new Tale().pushed("a").claimed("a", 1).started("a", 1).fault("silence", "w0", ms).pass(ms)
  expect(rules(takenBack(told(400)))).toEqual(["unexplained"])
  expect(rules(takenBack(told(4_000)))).toEqual([])
})

test("a retry of a handler that threw is no duplicate; one of a handler that returned is", () => {
  const told = (how: "throw" | "return") =>
    new Tale()
      .pushed("a", "task", { fails: 1 })
      .claimed("a", 1)
      .started("a", 1)
      .ended("a", 1, how)
      .move({ id: "a", now: "retrying", attempts: 1 })
      .move({ id: "a", now: "pending" })
      .run("a", 2)
      .finished("a")
  expect(rules(told("throw"))).toEqual([])
  expect(rules(told("return"))).toEqual(["unexplained"])
})

test("a result of an earlier claim is a zombie's", () => {
  const tale = new Tale().pushed("a").claimed("a", 1).started("a", 1).fault("freeze", "w0", 4_000).pass(4_000)
  tale
    .takenBack("a")
    .run("a", 2, "w1.1")
    .finished("a", "succeeded", { result: { claims: 1 } })
  expect(rules(tale)).toEqual(["end"])
})

test("moves that the table of states does not know are violations", () => {
  expect(rules(new Tale().pushed("a").move({ id: "a", now: "retrying" }))).toContain("history")
  expect(rules(new Tale().pushed("a").run("a", 1).finished("a").move({ id: "a", was: "running", now: "pending" }))).toContain("history") // prettier-ignore
})

test("an attempt that is charged for a claim that was handed back is a violation", () => {
  const tale = new Tale().pushed("a").claimed("a", 1).move({ id: "a", now: "pending", attempts: 1 })
  expect(rules(tale.run("a", 2).finished("a"))).toEqual(expect.arrayContaining(["count", "end"]))
})

test("a crash that is charged to a job that does not run is a violation", () => {
  const tale = new Tale().pushed("a").move({ id: "a", now: "retrying" }).move({ id: "a", now: "pending", crashes: 1 })
  expect(rules(tale)).toContain("count")
})

test("a claim that does not grow the claim counter is a violation", () => {
  const tale = new Tale().pushed("a").run("a", 1).finished("a")
  tale.moves[1]!.claims = 0
  expect(rules(tale)).toContain("count")
})

test("a job that was asked to be cancelled while it ran, and succeeded, is a violation", () => {
  const tale = new Tale().pushed("a").claimed("a", 1).started("a", 1).note("p0.1", { t: "cancel", id: "a" })
  tale.note("p0.1", { t: "cancelled", id: "a", outcome: "requested" }).ended("a", 1).finished("a")
  expect(rules(tale)).toEqual(["end"])
})

test("a job that nobody asked to be cancelled, and was, is a violation", () => {
  expect(rules(new Tale().pushed("a").run("a", 1).finished("a", "cancelled"))).toEqual(["end"])
})

test("a job that took more attempts than it was to fail is a violation", () => {
  expect(rules(new Tale().pushed("a").run("a", 1).finished("a", "succeeded", { attempts: 2 }))).toEqual(["end"])
})

test("an effect that is missing, or there twice, is a violation", () => {
  const told = () => new Tale().pushed("a", "effect").run("a", 1).finished("a")
  const once = told()
  once.effects.push({ job: "a", claims: 1 })
  expect(rules(once)).toEqual([])
  expect(rules(told())).toEqual(["effect"])
  const twice = told()
  twice.effects.push({ job: "a", claims: 1 }, { job: "a", claims: 1 })
  expect(rules(twice)).toEqual(["effect"])
})

test("what a plugin saves is there once for each settlement, and for none that changed nothing", () => {
  const told = () => new Tale().pushed("a", "kept").run("a", 1).finished("a")
  const once = told()
  once.saves.push({ job: "a", claims: 1, state: "succeeded" })
  expect(rules(once)).toEqual([])
  once.saves.push({ job: "a", claims: 0, state: "succeeded" })
  expect(rules(once)).toEqual(["effect"])
})

test("a pushed job exists if, and only if, the run that pushed it succeeded", () => {
  const told = (claims: number) => {
    const tale = new Tale().pushed("a", "parent").run("a", 1)
    const child = { mark: "child", ms: 1, fails: 0, snoozes: 0, obey: true }
    tale.note("w0.1", {
      t: "push",
      mark: "child",
      job: "task",
      script: child,
      maxAttempts: 6,
      parent: { job: "a", claims },
    })
    tale.move({ id: "b", op: "insert", now: "pending", mark: "child" }).run("b", 1)
    return tale.finished("b", "succeeded", { mark: "child" }).finished("a")
  }
  expect(rules(told(1))).toEqual([])
  expect(rules(told(3))).toEqual(["effect"])
})

test("two live jobs of one key are a violation, one after the other are none", () => {
  const after = new Tale().pushed("a", "single", { key: "k" }).run("a", 1).finished("a")
  expect(rules(after.pushed("b", "single", { key: "k" }).run("b", 1).finished("b"))).toEqual([])
  const atOnce = new Tale().pushed("a", "single", { key: "k" }).pushed("b", "single", { key: "k" })
  expect(rules(atOnce.run("a", 1).finished("a").run("b", 1).finished("b"))).toContain("key")
})

test("whoever is told of a holder of its key that had ended long before was told a lie", () => {
  const tale = new Tale().pushed("a", "single", { key: "k" }).run("a", 1).finished("a").pass(20_000)
  const script = { mark: "late", ms: 1, fails: 0, snoozes: 0, obey: true }
  tale.note("p1.1", { t: "push", mark: "late", job: "single", script, maxAttempts: 6, key: "k" })
  expect(rules(tale.pass(5).note("p1.1", { t: "pushed", mark: "late", id: "a", duplicate: true }))).toEqual(["key"])
})

test("a lease that ran out and is renewed is a violation", () => {
  const tale = new Tale().pushed("a").run("a", 1).finished("a")
  const row = { seq: 0, at: 5_000, stamp: 5_000, incarnation: "i", id: "w0" }
  tale.leases.push({ ...row, before: 6_000, after: 8_000 })
  expect(rules(tale)).toEqual([])
  tale.leases.push({ ...row, before: 4_000, after: 8_000 })
  expect(rules(tale)).toEqual(["lease"])
})

test("a claim that is taken back while its worker's lease lasts is a violation", () => {
  const tale = new Tale().pushed("a").claimed("a", 1).started("a", 1).fault("kill", "w0").pass(1_000)
  tale.leases.push({
    seq: 0,
    at: 900,
    stamp: 900,
    incarnation: "w0.1",
    id: "w0",
    before: null,
    after: tale.now + 5_000,
  })
  expect(rules(takenBack(tale))).toEqual(["lease"])
})

test("an act of a leader after another has acted is a violation", () => {
  const tale = new Tale()
  const act = (n: number, term: string) => tale.ticks.push({ n, term, worker: `worker of ${term}` })
  act(1, "a")
  act(2, "b")
  expect(rules(tale)).toEqual([])
  act(3, "a")
  expect(rules(tale)).toEqual(["term"])
})

test("two workers that act in one term are a violation", () => {
  const tale = new Tale()
  for (const n of [1, 2]) tale.ticks.push({ n, term: "a", worker: `w${n}` })
  expect(rules(tale)).toEqual(["term"])
})

test("a worker that believes to lead after another has begun to is a violation", () => {
  const tale = new Tale().note("w0.1", { t: "lead", term: "a" }).pass(1).note("w1.1", { t: "lead", term: "b" })
  expect(rules(tale)).toEqual([])
  expect(rules(tale.pass(1).note("w0.1", { t: "lead", term: "a" }))).toEqual(["term"])
})

test("a job of a line that is left behind for longer than a full scan takes is a violation", () => {
  const told = (ms: number) => {
    const tale = new Tale().pushed("a", "line", { n: 1 }).pushed("b", "line", { n: 2 })
    return tale.run("b", 1).finished("b").pass(ms).run("a", 1).finished("a")
  }
  expect(rules(told(2_000))).toEqual([])
  expect(rules(told(20_000))).toEqual(["order"])
})

test("a worker process that ends by itself is a violation", () => {
  const tale = new Tale()
  tale.deserters.push({ by: "w0.1", at: 1, how: "exit code 1" })
  expect(rules(tale)).toEqual(["deserted"])
})

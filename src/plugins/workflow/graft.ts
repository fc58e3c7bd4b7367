import { didYouMean } from "../../lib/nearest.ts"
import { failure } from "../../model/errors.ts"
import type { AppContext } from "../../model/plugin.ts"
import type { RunningJob } from "../../model/running-job.ts"
import { sqlState } from "../../postgres/sqlstate.ts"
import { builder, type Scope } from "./builder.ts"
import type { Builder } from "./definition.ts"
import { arrange, badWorkflow } from "./graph.ts"
import type { Node } from "./node.ts"
import { ref, type Ref } from "./references.ts"
import { graftSteps, stepsAround } from "./store.ts"
import { storedSteps } from "./workflow.ts"

/*
 * Steps that a running step adds behind itself. They wait for its success, so they may be replaced as often as its job is
 * tried: nothing of them has started.
 */

export interface GraftOptions {
  /** Steps, which have not started, that wait for the new ones too. */
  readonly before?: readonly string[]
}

/** `earlier("charge")` stands for the result of a step that has ended. */
export type Graft = (w: Builder<never>, earlier: <T = unknown>(key: string) => Ref<T>) => unknown

type Around = Awaited<ReturnType<typeof stepsAround>>

/**
 * @throws MILLRACE_LEASE_LOST when this claim of the job is over, MILLRACE_BAD_WORKFLOW, MILLRACE_WORKFLOW_STATE,
 *   MILLRACE_WORKFLOW_TOO_LARGE.
 */
export async function graft(
  app: AppContext,
  job: Pick<RunningJob, "id" | "claims">,
  build: Graft,
  { before = [] }: GraftOptions,
  most: number,
): Promise<void> {
  for (;;) {
    const around = await stepsAround(app.db, app.names, job.id)
    if (around.length === 0) throw badWorkflow(`job ${job.id} is no step of a workflow that runs.`)
    const others = around.filter((step) => !step.mine)
    checkBefore(others, before)
    const base = around.at(-1)!.step + 1
    const steps = JSON.stringify(storedSteps(newSteps(others, base, build)))
    const given = { job: job.id, claims: job.claims, base, steps, before, most }
    const outcome = await graftSteps(app.db, app.names, given).catch((error: unknown) => {
      if (sqlState(error) === "MR001") return "moved" as const
      throw error
    })
    if (outcome === "done") return
    if (outcome !== "moved") throw refusal(job.id, outcome, most)
  }
}

function checkBefore(around: Around, before: readonly string[]): void {
  for (const key of before) {
    const found = around.find((step) => step.key === key)
    if (!found) {
      const hint = didYouMean(key, around.map((step) => step.key)) // prettier-ignore
      throw badWorkflow(`graft: there is no step "${key}" to come before.${hint}`)
    }
    if (found.state !== "waiting")
      throw badWorkflow(`graft: step "${key}" does not wait any more, but is ${found.state}.`)
  }
}

function newSteps(around: Around, base: number, build: Graft): readonly Node[] {
  const stubs = new Map(around.map((step) => [step.key, stub(step)]))
  const scope: Scope = {
    workflow: "graft",
    nodes: new Map(stubs),
    onFailure: "fail",
    prefix: "",
    input: ref({ from: "input", path: [] }),
    gate: undefined,
  }
  build(builder(scope), (key) => {
    const node = stubs.get(key)
    if (!node) throw badWorkflow(`graft: there is no step "${key}".${didYouMean(key, stubs.keys())}`)
    const { state } = around.find((step) => step.key === key)!
    if (state === "waiting" || state === "active") throw badWorkflow(`graft: step "${key}" has not ended.`)
    return ref({ from: "step", node, path: [], loose: true })
  })
  const old = new Set(stubs.values())
  const nodes = [...scope.nodes.values()].filter((node) => !old.has(node))
  // What has ended is waited for no more.
  for (const node of nodes) for (const need of [...node.needs.keys()]) if (old.has(need)) node.needs.delete(need)
  return arrange("graft", nodes, base)
}

const stub = ({ key, step }: Around[number]): Node => ({
  key,
  step,
  kind: "value",
  onFailure: "fail",
  needs: new Map(),
  after: [],
  when: undefined,
  job: undefined,
  undo: undefined,
  template: undefined,
  settings: {},
})

function refusal(job: string, outcome: "stale" | "item" | "ending" | "large", most: number) {
  switch (outcome) {
    case "stale":
      return failure(
        "MILLRACE_LEASE_LOST",
        `This worker's claim of job ${job} is not valid any more; it cannot add steps.`,
      )
    case "item":
      return badWorkflow(`job ${job} is an item of a map, which cannot add steps; a step behind the map can.`)
    case "ending":
      return failure("MILLRACE_WORKFLOW_STATE", `The workflow of job ${job} goes no further, so no steps can be added.`)
    case "large":
      return failure("MILLRACE_WORKFLOW_TOO_LARGE", `The workflow of job ${job} would have more than ${most} steps.`)
  }
}

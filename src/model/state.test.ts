import { expect, test } from "vitest"
import { finalStates, isFinal, mayMove, transitions, unfinishedStates } from "./state.ts"

const states = [...unfinishedStates, ...finalStates]

test("every state is in the table, and can be reached from a push", () => {
  expect(new Set(Object.keys(transitions))).toEqual(new Set(["new", ...states]))
  const reached = new Set(transitions.new)
  for (const state of reached) for (const next of transitions[state]) reached.add(next)
  expect(reached).toEqual(new Set(states))
})

test("a finished job only comes back by hand, as pending", () => {
  for (const state of finalStates) expect(transitions[state]).toEqual(["pending"])
  for (const state of states) expect(isFinal(state)).toBe((finalStates as readonly string[]).includes(state))
})

test("only what is pending is claimed, and what waits can be cancelled", () => {
  expect(states.filter((state) => mayMove(state, "running"))).toEqual(["pending"])
  expect(states.filter((state) => mayMove(state, "cancelled"))).toEqual([...unfinishedStates])
})

/** The states of a job, and who may move it from one to another. */

export const unfinishedStates = ["scheduled", "pending", "running", "retrying", "blocked"] as const
export const finalStates = ["succeeded", "failed", "cancelled"] as const

export type UnfinishedState = (typeof unfinishedStates)[number]
export type FinalState = (typeof finalStates)[number]
export type JobState = UnfinishedState | FinalState

export const isFinal = (state: JobState): state is FinalState => (finalStates as readonly string[]).includes(state)

/** From a state (or from nothing, by a push) to those that some statement may write. A test holds every statement to it. */
export const transitions: Readonly<Record<JobState | "new", readonly JobState[]>> = {
  new: ["scheduled", "pending"],
  scheduled: ["pending", "scheduled", "cancelled"], // promote or retry, update, cancel
  pending: ["running", "scheduled", "pending", "cancelled"], // claim, update, cancel
  running: ["succeeded", "failed", "cancelled", "retrying", "scheduled", "pending", "blocked"], // settle, release, recover, park
  retrying: ["pending", "retrying", "cancelled"], // promote or retry, update, cancel
  blocked: ["pending", "scheduled", "blocked", "cancelled"], // unblock or retry, update, cancel
  succeeded: ["pending"], // retry, by hand
  failed: ["pending"],
  cancelled: ["pending"],
}

export const mayMove = (from: JobState | "new", to: JobState): boolean => transitions[from].includes(to)

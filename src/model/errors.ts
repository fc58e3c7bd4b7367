import { isMillraceError, MillraceError } from "../lib/error.ts"

/**
 * Every code that an error of ours can carry, with what it means. Codes are stable: programs may compare them, messages
 * may change.
 */
export const errorCodes = {
  MILLRACE_ANSWER_NOT_KEPT:
    "A request with this Idempotency-Key was done, and its answer held a secret that is shown once.",
  MILLRACE_AUTH_NEEDED: "The dashboard can be reached by others, and nothing says who may come in.",
  MILLRACE_BAD_BATCH: "A batch handler returned something other than one entry per job.",
  MILLRACE_BAD_CONTENT_TYPE: "A write over HTTP is not sent as JSON.",
  MILLRACE_BAD_CURSOR: "A cursor is not one that a search returned, or belongs to another search.",
  MILLRACE_BAD_DURATION: 'A duration is not a number of milliseconds or a string such as "90s", or is out of range.',
  MILLRACE_BAD_GLOB: "A tag pattern is not a glob.",
  MILLRACE_BAD_ID: "A job id is not a UUID.",
  MILLRACE_BAD_JSON: "A payload or meta value is not JSON that PostgreSQL can store.",
  MILLRACE_BAD_KEY: "A job has no limit key, although its definition says how to find it.",
  MILLRACE_BAD_METHOD: "A path of the HTTP API does not have this method.",
  MILLRACE_BAD_MODULE: "A module of handlers cannot be loaded, or exports none.",
  MILLRACE_BAD_NAME: "A job, queue or worker name has characters that are not allowed, or is too long.",
  MILLRACE_BAD_OPTION: "An option has a value of the wrong type or out of range.",
  MILLRACE_BAD_PAYLOAD: "A payload was refused by the job definition's schema.",
  MILLRACE_BAD_PLUGIN: "A plugin is not one, or plugins do not fit together.",
  MILLRACE_BAD_REQUEST: "A request to the HTTP API cannot be understood.",
  MILLRACE_BAD_RESULT: "A handler's result was refused by the job definition's schema.",
  MILLRACE_BAD_RULE: "A rule or filter names an unknown field, or compares it with a value of the wrong type.",
  MILLRACE_BAD_SCHEDULE: "A schedule cannot be read, would never run, or says two things that do not go together.",
  MILLRACE_BAD_SCHEMA: "The database schema's name is not usable.",
  MILLRACE_BAD_TRANSACTION: "The `tx` option is not a client with an open transaction.",
  MILLRACE_BAD_TRIGGER: "A trigger names a table, column or condition that the database does not accept.",
  MILLRACE_BAD_VERSION: "The schema version asked for, or found, is unknown to this release.",
  MILLRACE_BAD_WORKFLOW: "The steps of a workflow do not fit together, or one cannot be started as it is.",
  MILLRACE_BODY_TOO_LARGE: "The body of a request is larger than the limit.",
  MILLRACE_CANCELLED: "The job was cancelled.",
  MILLRACE_CHANGED: "A job has changed since the version that an edit names.",
  MILLRACE_CLOSED: "The app was closed.",
  MILLRACE_COMMAND_FAILED: "A command ended with a failure, or said nothing that is an outcome.",
  MILLRACE_COMMIT_UNKNOWN: "The connection was lost during COMMIT: the transaction may or may not have happened.",
  MILLRACE_CRASHED: "The workers that ran the job were lost too often.",
  MILLRACE_CROSS_SITE: "A write over HTTP comes from a page of another site.",
  MILLRACE_DUPLICATE_HANDLER: "Two handlers answer to one job name.",
  MILLRACE_EXECUTOR_LOST: "The thread or process that ran the job ended in the middle of it.",
  MILLRACE_EXECUTOR_START: "A thread, process or command could not be started.",
  MILLRACE_EVENT_TOO_LARGE: "An event for the whole cluster is larger than a notification may be.",
  MILLRACE_EXPIRED: "The job was not started before its expiry.",
  MILLRACE_FLOW_CHANGED: "A flow's code does not come by the steps that are recorded of the run.",
  MILLRACE_FLOW_TOO_LARGE: "A flow would store more steps or more bytes than the limit.",
  MILLRACE_FORBIDDEN: "A visitor of the dashboard does not hold the permission.",
  MILLRACE_HANDLER_STUCK: "A handler goes on after its signal fired; its outcome was settled without it.",
  MILLRACE_IDEMPOTENCY_KEY_BUSY: "The first request with this Idempotency-Key has no answer yet.",
  MILLRACE_IDEMPOTENCY_KEY_REUSED: "An Idempotency-Key came again with another body.",
  MILLRACE_INLINE_HANDLER: "A handler is written in the worker's program, where its queue's executor cannot reach it.",
  MILLRACE_INTERNAL: "A request failed by a fault of the server; its log says which.",
  MILLRACE_JOB_FAILED: "The job failed for good.",
  MILLRACE_JOB_FINISHED: "The job has finished, so it stays as it is.",
  MILLRACE_JOB_RUNNING: "The job is running, so it cannot be changed or retried now.",
  MILLRACE_KEY_TAKEN: "Another unfinished job holds the unique key.",
  MILLRACE_KEY_BUSY: "Another transaction has held the unique key for too long.",
  MILLRACE_LEASE_LOST: "The worker lost its lease, so the claim is not its own any more.",
  MILLRACE_LIMIT_REFUSED: "A limit was asked for that the queue's executor cannot honour.",
  MILLRACE_LOOP_ENDED: "A background loop returned although nobody had stopped it.",
  MILLRACE_MEMORY_LIMIT: "A job was over its queue's memory limit.",
  MILLRACE_NOT_FOUND: "There is nothing at this address, or nothing that the visitor may see.",
  MILLRACE_NOT_SIGNED_IN: "A request to the HTTP API tells neither a session nor a token that is valid.",
  MILLRACE_NO_APP: "The app cannot be used where this job runs.",
  MILLRACE_NO_EXECUTOR: "A queue names an executor that this worker does not have.",
  MILLRACE_NO_LOGIN: "Visitors do not sign in with a password here.",
  MILLRACE_NO_RESULT: "The job keeps no result that could be waited for.",
  MILLRACE_NOT_CONNECTED: "The database could not be reached.",
  MILLRACE_NOT_INDEXED: "A search would read every job; declare an index for it, or narrow it.",
  MILLRACE_NOT_LEADER: "This worker does not lead, so what only the leader may do was not done.",
  MILLRACE_NOT_MIGRATED: "The schema is missing or older than this release needs.",
  MILLRACE_NOT_STARTED: "The worker is not in a state that allows this call.",
  MILLRACE_NO_UNDO: "Nothing of an operation can be undone, or it was undone already.",
  MILLRACE_PAYLOAD_TOO_LARGE: "A payload is larger than the limit.",
  MILLRACE_PUSH_UNKNOWN: "The database did not confirm a push in time: the job may or may not be there.",
  MILLRACE_QUERY_TIMEOUT: "A statement did not finish in time.",
  MILLRACE_REDACTED: "A search asks about values that are hidden.",
  MILLRACE_ROLLED_BACK: "An error inside a transaction was swallowed, so it was rolled back.",
  MILLRACE_SHUTDOWN: "The worker is stopping.",
  MILLRACE_STEP_FAILED: "A step of a flow failed at its last attempt.",
  MILLRACE_UNKNOWN_ALERT: "There is no alert, or no alert rule, of this name.",
  MILLRACE_UNKNOWN_ERROR: "There is no group of errors with this fingerprint, or it was forgotten.",
  MILLRACE_STILL_RUNNING: "An operation still runs.",
  MILLRACE_TIMEOUT: "A job's time limit, or the time that a caller would wait, is over.",
  MILLRACE_TOO_MANY_LOGINS: "Too many logins failed; the next one has to wait.",
  MILLRACE_UNEXPECTED: "More jobs match an operation than its author expected.",
  MILLRACE_UNKNOWN_JOB: "There is no job with this id, or its retention is over.",
  MILLRACE_UNKNOWN_OPTION: "An option's name is not known.",
  MILLRACE_UNKNOWN_PLUGIN: "There is no plugin of this name.",
  MILLRACE_UNKNOWN_QUEUE: "There is no queue of this name.",
  MILLRACE_UNKNOWN_SCHEDULE: "There is no schedule of this key.",
  MILLRACE_UNKNOWN_TRIGGER: "There is no trigger of this name.",
  MILLRACE_UNKNOWN_WORKFLOW: "There is no workflow with this id, or its retention is over.",
  MILLRACE_WORKER_ID_TAKEN: "A live worker already has this id.",
  MILLRACE_WORKFLOW_FAILED: "The workflow failed, at the step that its cause is of.",
  MILLRACE_WORKFLOW_STATE: "The workflow is not in a state that allows this call.",
  MILLRACE_WORKFLOW_TOO_LARGE: "A workflow has more steps, items or kept signals than the limit.",
  MILLRACE_WRONG_PASSWORD: "A name or its password is wrong.",
} as const

export type ErrorCode = keyof typeof errorCodes

export { isMillraceError, MillraceError }

/** A MillraceError with one of the documented codes. */
export const failure = (code: ErrorCode, message: string, cause?: unknown): MillraceError =>
  new MillraceError(code, message, cause === undefined ? undefined : { cause })

/** What is kept of an error in the database; bounded: message 2,000 and stack 8,000 characters. */
export interface ErrorRecord {
  /** When the attempt ended, by the database's clock (absent until it is stored). */
  at?: string
  attempt: number
  name: string
  message: string
  code?: string
  stack?: string
}

/** Describes anything that was thrown; never throws itself. */
export function errorRecord(thrown: unknown, attempt: number): ErrorRecord {
  try {
    if (thrown instanceof Error || (typeof thrown === "object" && thrown !== null && "message" in thrown)) {
      const error = thrown as Error & { code?: unknown }
      return {
        attempt,
        name: clip(String(error.name ?? "Error"), 200),
        message: clip(String(error.message), 2_000),
        ...(typeof error.code === "string" ? { code: clip(error.code, 200) } : {}),
        ...(typeof error.stack === "string" ? { stack: clip(withCauses(error), 8_000) } : {}),
      }
    }
    return { attempt, name: "Error", message: clip(`thrown: ${String(thrown)}`, 2_000) }
  } catch {
    return { attempt, name: "Error", message: "an error that cannot be described was thrown" }
  }
}

function withCauses(error: Error): string {
  let text = error.stack ?? ""
  let cause = error.cause
  for (let depth = 0; depth < 5 && cause instanceof Error; depth++) {
    text += `\ncaused by ${cause.stack ?? cause.message}`
    cause = cause.cause
  }
  return text
}

const clip = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length)}… (${text.length} characters)`

import type { JobState } from "./state.ts"

/** The events of the hub, and what each tells. Plugins and applications may emit others. */
export interface HubEvents {
  "worker.started": { readonly worker: string; readonly queues: readonly string[] }
  "worker.announced": { readonly worker: string; readonly queues: readonly string[] }
  "worker.stopped": { readonly worker: string; readonly saved: boolean }
  /** Jobs go on past `shutdownTimeout`: their signals fire. */
  "worker.shutdown.timeout": { readonly worker: string; readonly jobs: number }
  "queue.declared": { readonly queue: string }
  "queue.changed": { readonly queue: string }
  "queue.paused": { readonly queue: string }
  "queue.resumed": { readonly queue: string }
  "queue.removed": { readonly queue: string }
  /** Jobs were pushed into it, by this process. */
  "queue.pushed": { readonly queue: string; readonly jobs: number }
  /** Every slot of this worker is taken. */
  "queue.full": { readonly queue: string; readonly worker: string }
  "job.started": JobEventBody
  "job.succeeded": JobEventBody
  "job.failed": JobEventBody
  "job.retrying": JobEventBody
  "job.cancelled": JobEventBody
  /** Taken back from a lost worker, by this one. */
  "job.recovered": { readonly id: string; readonly queue: string; readonly state: JobState; readonly by: string }
  /** Something has come for a flow that runs. */
  "flow.news": { readonly id: string }
  "leadership.gained": { readonly worker: string; readonly term: string }
  "leadership.renewed": { readonly worker: string; readonly term: string }
  "leadership.lost": { readonly worker: string; readonly term: string }
  /** After each gain and renewal, on the leader. */
  "leadership.loop": { readonly worker: string; readonly term: string }
  "plugin.started": { readonly plugin: string; readonly worker: string }
  "plugin.crashed": {
    readonly plugin: string
    readonly worker: string
    readonly error: string
    readonly crashes: number
  }
  "plugin.degraded": {
    readonly plugin: string
    readonly worker: string
    readonly error: string
    readonly crashes: number
  }
  "plugin.stopped": { readonly plugin: string; readonly worker: string }
  "pruner.removed": { readonly jobs: number; readonly partitions: readonly string[]; readonly cleaned: number }
  /** A schedule was made, changed, paused, resumed or removed. */
  "schedule.changed": { readonly key: string; readonly change: "stored" | "paused" | "resumed" | "removed" }
  /** A tick came to this, on this worker. */
  "schedule.fired": {
    readonly key: string
    readonly at: string
    readonly outcome: "pushed" | "duplicate" | "skipped" | "missed"
    readonly job: string | undefined
    readonly worker: string
  }
  /** A schedule cannot run as it stands in the database; the others can. */
  "schedule.failed": { readonly key: string; readonly error: string; readonly worker: string }
  /** Pushed by this process. */
  "workflow.created": { readonly id: string; readonly name: string }
  /** Somebody has cancelled, paused, resumed, retried or signalled it. */
  "workflow.updated": { readonly id: string; readonly action: string }
  /** A step's job ended on this process's worker. */
  "workflow.step.completed": {
    readonly workflow: string
    readonly step: string
    readonly job: string
    readonly state: "succeeded" | "failed" | "cancelled"
  }
  "workflow.finished": {
    readonly id: string
    readonly name: string
    readonly state: "succeeded" | "failed" | "cancelled"
  }
  /** It goes no further, because a step failed. */
  "workflow.failing": { readonly id: string }
  /** A timer was set, for so many milliseconds from now. */
  "workflow.timer": { readonly inMs: number }
  "recovery.recovered": { readonly jobs: number; readonly failed: number; readonly workers: readonly string[] }
}

export interface JobEventBody {
  readonly id: string
  readonly name: string
  readonly queue: string
  readonly attempt: number
  readonly worker: string
}

export type HubEventName = keyof HubEvents | (string & {})
export type BodyOf<Name> = Name extends keyof HubEvents ? HubEvents[Name] : unknown

/** An event as handlers get it. */
export interface HubEvent<Name extends HubEventName = HubEventName> {
  readonly name: Name
  readonly body: BodyOf<Name>
  /** True: it came from another process. */
  readonly remote: boolean
}

export interface EmitOptions {
  /** Told to every process of the installation that listens; the body travels as JSON, at most 6,000 bytes of it. Default false. */
  readonly cluster?: boolean
}

export interface WaitForOptions {
  /** Milliseconds. Default: for ever. */
  readonly timeout?: number | string
  readonly signal?: AbortSignal
}

/** Events between the parts of one process, and between processes. A handler that throws disturbs neither the emitter nor other handlers. */
export interface Hub {
  /** Hears an event from now on; returns its own remover. */
  on<Name extends HubEventName>(name: Name, handler: (event: HubEvent<Name>) => unknown): () => void
  /** Hears it once. */
  once<Name extends HubEventName>(name: Name, handler: (event: HubEvent<Name>) => unknown): () => void
  /** Hears everything. */
  onAny(handler: (event: HubEvent) => unknown): () => void
  /** @throws MILLRACE_EVENT_TOO_LARGE, MILLRACE_BAD_JSON, with `cluster`. */
  emit<Name extends HubEventName>(name: Name, body: BodyOf<Name>, options?: EmitOptions): void
  /**
   * The next event of this name, or of any of these.
   *
   * @throws MILLRACE_TIMEOUT, or the signal's reason.
   */
  waitFor<Name extends HubEventName>(names: Name | readonly Name[], options?: WaitForOptions): Promise<HubEvent<Name>>
}

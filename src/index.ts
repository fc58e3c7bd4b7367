/** The application's side of Millrace: define jobs, push them, wait for them, manage queues. */
import { Millrace as BareMillrace } from "./client/millrace.ts"
import type { WebHandler } from "./plugins/web/handler.ts"
import { lazyHandler } from "./plugins/web/lazy.ts"
import type { HandlerOptions } from "./plugins/web/options.ts"

export type { MillraceOptions } from "./client/millrace.ts"
export type { PushByNameOptions } from "./client/push-by-name.ts"
export { Reference } from "./client/reference.ts"
export type { JobEvent } from "./client/follower.ts"
export type { Cancelled, FollowOptions, LogsOptions, ResultOptions } from "./client/reference.ts"
export type { UpdateOptions } from "./client/update.ts"
export type { Duration } from "./lib/duration.ts"
export type { CallerTransaction, Connection, Transaction } from "./model/database.ts"
export { defineJob } from "./model/definition.ts"
export type { AnyDefinition, BatchedJob, BatchOptions, Handler, JobDefinition, Pushable } from "./model/definition.ts"
export { errorCodes, isMillraceError, MillraceError } from "./model/errors.ts"
export type { ErrorCode, ErrorRecord } from "./model/errors.ts"
export type { JobRecord, UniqueScope } from "./model/job.ts"
export type { JobLog, LogLevel, LogLine } from "./model/job-log.ts"
export type { BackoffOptions, PushOptions, RetentionInput, UniqueKey } from "./model/job-options.ts"
export type { Logger } from "./model/log.ts"
export { cancel, discard, retry, retryAfter, snooze } from "./model/outcome.ts"
export type { Directive, FailedAttempt } from "./model/outcome.ts"
export { migrationSql } from "./postgres/migrate.ts"
export type { Explanation, Reason } from "./model/explanation.ts"
export type { StoppedKey } from "./postgres/limits.ts"
export type { CircuitBreaker, LimitsRecord, RateLimit } from "./model/limits.ts"
export type { Debounce, Throttle } from "./model/uniqueness.ts"
export type { QueueOptions, QueueRecord } from "./model/queue.ts"
export type { RunningJob } from "./model/running-job.ts"
export type { JobState } from "./model/state.ts"
export { all, any, isRule, not, ruleFrom } from "./model/rule.ts"
export type { Comparison, JsonValue, Moment, Operator, Rule, RuleData } from "./model/rule.ts"
export * from "./model/rule-builders.ts"
export type { JobFilter, PathValues, TimeRange } from "./model/filter.ts"
export type { FindOptions, Page } from "./client/find.ts"
export type { BulkOptions, BulkProgress, BulkReport, Refusal } from "./client/bulk.ts"
export type { Count, Stats, WorkerRecord } from "./client/overview.ts"
export type { IndexedPath } from "./client/millrace.ts"
export type { JsonPath } from "./postgres/path-indexes.ts"
export { cron, defineSchedule } from "./plugins/cron/index.ts"
export type {
  Cron,
  CronOptions,
  Declared as DeclaredSchedule,
  Preview as SchedulePreview,
  PreviewedRun,
  PreviewOptions,
  Schedule,
  ScheduleOptions,
  Synchronised as SchedulesSynchronised,
  Tick,
  TicksOptions,
} from "./plugins/cron/index.ts"
export { triggers } from "./plugins/trigger/index.ts"
export type { MappedValue, Trigger, TriggerEvent, TriggerOptions, Triggers } from "./plugins/trigger/index.ts"
export { defineFlow, flows } from "./plugins/flow/index.ts"
export type {
  DefinedFlow,
  Flow,
  FlowDefinition,
  FlowFunction,
  FlowJob,
  FlowListOptions,
  FlowOptions,
  FlowPage,
  FlowPushOptions,
  FlowRecord,
  FlowsPlugin,
  FlowState,
  FlowStepRecord,
  FlowSummary,
  ResumeOptions,
  SignalOptions,
  StepOptions as FlowStepOptions,
  StepRetry,
  StepRun as FlowStepRun,
  Stored,
  WaitForOptions as FlowWaitForOptions,
} from "./plugins/flow/index.ts"
export { condition } from "./plugins/workflow/conditions.ts"
export type { Builder, JobStep, MapStep, Step, Workflow } from "./plugins/workflow/definition.ts"
export type { Graph } from "./plugins/workflow/drawing.ts"
export type { Graft, GraftOptions } from "./plugins/workflow/graft.ts"
export { workflows } from "./plugins/workflow/index.ts"
export type {
  FindWorkflowsOptions,
  WorkflowPage,
  WorkflowRule,
  Workflows,
  WorkflowsOptions,
} from "./plugins/workflow/api.ts"
export type { Condition, FailurePolicy } from "./plugins/workflow/node.ts"
export type {
  GroupOptions,
  MapOptions,
  StepOptions,
  WaitForOptions,
  WorkflowOptions,
} from "./plugins/workflow/options.ts"
export type { PushWorkflowOptions } from "./plugins/workflow/push.ts"
export type {
  StepRecord,
  StepRun,
  StepState,
  WorkflowRecord,
  WorkflowState,
  WorkflowSummary,
} from "./plugins/workflow/record.ts"
export { WorkflowReference } from "./plugins/workflow/reference.ts"
export type { CancelWorkflowOptions, RetryWorkflowOptions } from "./plugins/workflow/reference.ts"
export type { Holds, Ref, Unwired, Wired } from "./plugins/workflow/references.ts"
export { workflow } from "./plugins/workflow/workflow.ts"

/** The application's side of Millrace: push jobs, find them, wait for them, manage queues. Runs nothing by itself. */
export class Millrace extends BareMillrace {
  /**
   * The dashboard and its API as a function from Request to Response, for your own server: see docs/web.md for Express,
   * Fastify, Hono and Next. Its code is loaded with the first request.
   *
   * @throws MILLRACE_AUTH_NEEDED without `auth`: whoever mounts it decides who comes in. MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION.
   */
  webHandler(options: HandlerOptions): WebHandler {
    return lazyHandler(this, options)
  }
}

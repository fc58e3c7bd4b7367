import type { Millrace } from "./client/millrace.ts"
import { asyncExecutor } from "./executors/async.ts"
import { commandExecutor } from "./executors/command.ts"
import { loadModule } from "./executors/module.ts"
import { processExecutor } from "./executors/process.ts"
import { threadExecutor } from "./executors/thread.ts"
import type { Plugin } from "./model/plugin.ts"
import { leadership } from "./plugins/leadership/index.ts"
import { metrics } from "./plugins/metrics/index.ts"
import { pruner } from "./plugins/pruner/index.ts"
import { recovery } from "./plugins/recovery/index.ts"
import type { ParsedWorker, WorkerOptions } from "./worker/options.ts"
import { Worker as BareWorker } from "./worker/worker.ts"

export type { CommandOptions } from "./executors/command.ts"
export type { ProcessOptions } from "./executors/process.ts"
export type { ThreadOptions } from "./executors/thread.ts"
export type { Attempt, Executor, ExecutorEntry, ExecutorQueue, Limit } from "./model/executor.ts"
export type { Report } from "./model/outcome.ts"
export type {
  AppContext,
  Claim,
  Ended,
  JobTimes,
  Leader,
  Plugin,
  PluginContext,
  PluginHealth,
  PluginMigration,
  PluginNames,
  PluginRoute,
  PushCall,
  PushedJob,
} from "./model/plugin.ts"
export type { EmitOptions, Hub, HubEvent, HubEventName, HubEvents, JobEventBody, WaitForOptions } from "./model/hub.ts"
export type { LeadershipOptions } from "./plugins/leadership/index.ts"
export type { PrunerOptions } from "./plugins/pruner/index.ts"
export type { RecoveryOptions } from "./plugins/recovery/index.ts"
export type { QueueLoad, WorkerHealth, WorkerState } from "./model/health.ts"
export type { Counter, Gauge, Histogram, Meter, MetricLabels } from "./model/metrics.ts"
export type { ReprioritizeOptions } from "./plugins/reprioritize/index.ts"
export { reprioritize } from "./plugins/reprioritize/index.ts"
export type { ErrorMatch, RetryOptions, RetryPolicy } from "./plugins/retry/index.ts"
export type { SentryLike, SentryOptions } from "./plugins/sentry/index.ts"
export { sentry } from "./plugins/sentry/index.ts"
export type { OpenTelemetryLike, TelemetryOptions } from "./plugins/telemetry/index.ts"
export { telemetry } from "./plugins/telemetry/index.ts"
export type {
  AlertChannel,
  AlertEvent,
  AlertRule,
  Alerts,
  AlertsOptions,
  AlertState,
  Delivery,
  EmailOptions,
  EventPage,
  MailTransport,
  Notification,
  Problem,
  RuleStatus,
  WebhookOptions,
} from "./plugins/alerts/index.ts"
export { alerts, defaultRules, email, webhook } from "./plugins/alerts/index.ts"
export type {
  ErrorDetails,
  ErrorGroup,
  ErrorGroups,
  ErrorPage,
  ErrorsOptions,
  ErrorState,
} from "./plugins/errors/index.ts"
export type { JobLoggerOptions } from "./plugins/job-logger/index.ts"
export { jobLogger } from "./plugins/job-logger/index.ts"
export { errorGroups } from "./plugins/errors/index.ts"
export { retryPolicies } from "./plugins/retry/index.ts"
export type {
  CounterPoint,
  DatabaseHealth,
  GaugePoint,
  HistogramPoint,
  MetricSeries,
  MetricsOptions,
  MetricsPlugin,
  MetricsQuery,
  MetricsResult,
  QueueNow,
  Snapshot,
} from "./plugins/metrics/index.ts"
export { leadership, metrics, pruner, recovery }
export type { RunningJob } from "./model/running-job.ts"
export type { WorkerOptions } from "./worker/options.ts"
/** For plugins that check their options as ours do: `options.parseOptions("mine", { every: options.duration({ … }) }, given)`. */
export * as options from "./lib/options.ts"
export { asyncExecutor, commandExecutor, processExecutor, threadExecutor }

const defaultPlugins = ({ sweep, maxCrashes }: ParsedWorker): readonly Plugin[] => [
  leadership(),
  recovery({ every: sweep, maxCrashes }),
  pruner(),
  metrics(),
]

/** The worker's side of Millrace, with the built-in executors; `command` only where it is registered. */
export class Worker extends BareWorker {
  constructor(app: Millrace, options: WorkerOptions = {}) {
    const executors = { async: asyncExecutor, thread: threadExecutor(), process: processExecutor() }
    super(app, options, { executors, load: loadModule, plugins: defaultPlugins })
  }
}

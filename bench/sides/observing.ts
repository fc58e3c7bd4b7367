// What watches a worker, as the scenario `observability` switches it on.
import { createWriteStream } from "node:fs"
import { devNull } from "node:os"
import * as api from "@opentelemetry/api"
import { AggregationTemporality, MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics"
import {
  BatchSpanProcessor,
  NodeTracerProvider,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-node"
import { alerts, errorGroups, jobLogger, leadership, metrics, pruner, recovery, telemetry } from "millrace/worker"
import type { Plugin, Worker } from "millrace/worker"
import type { Logger } from "millrace"
import type { Observed } from "../side.ts"

/**
 * `off`: nothing but what jobs need. `on`: all of it, as a program at this rate would have it: a hundredth of the traces,
 * and log lines of what is not in order. `every`: all of it, with each span recorded and a line for each start and end.
 */
export interface Observing {
  /** Of the app. */
  readonly plugins: Plugin[]
  readonly worker: Partial<ConstructorParameters<typeof Worker>[1]>
  stop(): Promise<void>
}

const share = { on: 0.01, every: 1 } as const

export function observing(observed: Observed | undefined): Observing {
  const stop = () => Promise.resolve()
  if (observed === undefined) return { plugins: [], worker: {}, stop }
  if (observed === "off") {
    return { plugins: [], worker: { defaultPlugins: false, plugins: [leadership(), recovery(), pruner()] }, stop }
  }
  const lines = createWriteStream(devNull)
  const stopTelemetry = register(share[observed])
  return {
    plugins: [errorGroups(), alerts({ every: "1s" })],
    worker: {
      health: { port: 0 },
      // More often than usual, so that a short run has its share of it.
      plugins: [
        metrics({ every: "1s", queuesEvery: "2s", databaseEvery: "5s" }),
        telemetry({ api }),
        jobLogger({ logger: writer(lines, observed === "every" ? "debug" : "info"), level: "debug" }),
      ],
    },
    async stop() {
      await stopTelemetry()
      lines.destroy()
    },
  }
}

/** The real SDK; what it would send over the network it drops. */
function register(ratio: number): () => Promise<void> {
  const done = { code: 0 }
  const traces = new NodeTracerProvider({
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new BatchSpanProcessor({ export: (_, told) => told(done), shutdown: () => Promise.resolve() })],
  })
  traces.register()
  const meter = new MeterProvider({
    readers: [
      new PeriodicExportingMetricReader({
        exporter: {
          export: (_, told) => told(done),
          forceFlush: () => Promise.resolve(),
          shutdown: () => Promise.resolve(),
          selectAggregationTemporality: () => AggregationTemporality.CUMULATIVE,
        },
        exportIntervalMillis: 1_000,
        exportTimeoutMillis: 900,
      }),
    ],
  })
  api.metrics.setGlobalMeterProvider(meter)
  return async () => {
    await traces.shutdown()
    await meter.shutdown()
  }
}

/** One JSON object per line, as most loggers write; what is below the level costs a call. */
function writer(to: NodeJS.WritableStream, least: "debug" | "info"): Logger {
  const line = (level: string) => (message: string, fields?: object) =>
    void to.write(`${JSON.stringify({ level, time: Date.now(), message, ...fields })}\n`)
  return {
    isLevelEnabled: (level) => level !== "debug" || least === "debug",
    debug: least === "debug" ? line("debug") : () => {},
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
  }
}

import { parseExecutorOptions } from "../model/built-in-executors.ts"
import type { Attempt, Executor, ExecutorQueue } from "../model/executor.ts"
import { handle, handleBatch } from "./handle.ts"

/** Runs handlers on the worker's own event loop: the default, right for work that waits for I/O. */
export function asyncExecutor(queue?: ExecutorQueue): Executor {
  if (queue) parseExecutorOptions(queue.name, {}, queue.options)
  return { defaultConcurrency: 100, run, runBatch }
}

const run = (attempt: Attempt) => handle(attempt.handler!, attempt)
const runBatch = (attempts: readonly Attempt[]) => handleBatch(attempts[0]!.handler!, attempts)

// An attempt without a worker, for executors by themselves.
import type { Attempt } from "millrace/worker"

export const attempt = (module: string, name: string, payload: unknown): Attempt =>
  ({
    id: "00000000-0000-7000-8000-000000000001",
    name,
    queue: "work",
    attempt: 1,
    maxAttempts: 1,
    crashes: 0,
    claims: 1,
    tags: [],
    payloadText: JSON.stringify(payload),
    metaText: undefined,
    timeout: undefined,
    handler: { module },
    signal: new AbortController().signal,
    started() {},
  }) as unknown as Attempt

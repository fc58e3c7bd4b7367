/** Times of every worker under test, ms: short, so that a minute holds many lost leases. */
export const timing = {
  lease: 4_000,
  heartbeat: 500,
  sweep: 500,
  queuePoll: 500,
  poll: 300,
  queryTimeout: 2_000,
  pushTimeout: 8_000,
  shutdownTimeout: 1_500,
  grace: 500,
  leaderLease: 2_000,
  leaderEvery: 400,
} as const

/** A job that was lost with its worker so many times fails. */
export const maxCrashes = 5

/** A queue's floor may hide a late committer for so long, ms (see scan-floors.ts). */
export const fullScanWithin = 10_000

/** ms of the machine's monotonic clock, the same for all its processes. */
export const machineTime = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000

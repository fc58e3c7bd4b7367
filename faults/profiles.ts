// What a round is made of: which faults, how often, on what workload. Each is one test of the catalogue, or all at once.

export const faultKinds = [
  "kill", // SIGKILL of a process, which is started again
  "freeze", // SIGSTOP for longer than a lease
  "doze", // SIGSTOP for less
  "stop", // SIGTERM, and a new process
  "cut", // every connection is reset
  "refuse", // reset, and new ones are refused
  "silence", // nothing passes, nobody is told
  "deafen", // requests do not arrive
  "mute", // replies do not arrive
  "slow", // everything takes longer
  "lose", // one reply is lost, with its connection, without a sign, or comes late
  "listener", // the listening connection falls silent
  "terminate", // the server ends sessions
  "lock", // somebody holds rows locked
  "crash", // SIGKILL of the server, which is started again
  "restart", // a clean restart of the server
] as const
export type FaultKind = (typeof faultKinds)[number]

export type Doing = "task" | "slowTask" | "stubborn" | "hopeless" | "effect" | "parent" | "kept" | "line" | "single" | "over" | "block" | "die" | "burst" | "transaction" | "keyedTransaction" | "cancel" // prettier-ignore

export interface Profile {
  readonly name: string
  /** What it holds the system to, for the report. */
  readonly promise: string
  readonly workers: number
  readonly pushers: number
  /** Faults of one process, by weight. */
  readonly faults: Partial<Record<FaultKind, number>>
  /** Faults of the server, by weight, and those that concern no process. */
  readonly serverFaults?: Partial<Record<FaultKind, number>>
  /** Shortest and longest pause between two faults of one process, ms. */
  readonly pause: readonly [number, number]
  readonly serverPause?: readonly [number, number]
  /** What the pushers do, by weight. */
  readonly doings: Partial<Record<Doing, number>>
  /** Pushes under way at once, per pusher. */
  readonly writers?: number
  /** Between two pushes of one writer, ms. */
  readonly rest?: readonly [number, number]
  readonly concurrency?: number
  /** How long rows are held locked, ms. */
  readonly locks?: readonly [number, number]
  /** Everything goes through PgBouncer in transaction mode. */
  readonly bouncer?: boolean
  readonly notifications?: boolean
}

const mixed: Profile["doings"] = {
  task: 30,
  slowTask: 4,
  hopeless: 2,
  effect: 12,
  parent: 6,
  kept: 8,
  line: 8,
  single: 8,
  over: 3,
  burst: 2,
  transaction: 5,
  keyedTransaction: 2,
  cancel: 8, // prettier-ignore
}
const base = { workers: 3, pushers: 2, pause: [1_500, 5_000], doings: mixed } as const

export const profiles: Readonly<Record<string, Profile>> = Object.fromEntries(
  (
    [
      {
        ...base,
        name: "all",
        promise: "everything below, all faults at once",
        faults: { kill: 4, freeze: 4, doze: 2, stop: 3, cut: 3, refuse: 2, silence: 3, deafen: 2, mute: 3, slow: 2, lose: 6, listener: 2 }, // prettier-ignore
        serverFaults: { terminate: 4, lock: 6, crash: 1, restart: 1 },
        serverPause: [2_000, 7_000],
        doings: { ...mixed, block: 0.4, die: 0.2 },
      },
      {
        ...base,
        name: "T1",
        promise: "a worker that was frozen past its lease changes nothing",
        faults: { freeze: 1 },
      },
      {
        ...base,
        name: "T2",
        promise: "jobs of killed workers are taken back, and all finish",
        faults: { kill: 1 },
      },
      {
        ...base,
        name: "T3",
        promise: "no acknowledged job is lost when the server is killed, and no worker process ends",
        faults: {},
        serverFaults: { crash: 3, restart: 1, terminate: 2 },
        serverPause: [3_000, 8_000],
      },
      {
        ...base,
        name: "T5",
        promise: "connections may be cut, slow or silent at any moment, and each reply may be lost",
        faults: { cut: 3, refuse: 1, silence: 2, deafen: 2, mute: 2, slow: 1, lose: 8 },
        pause: [600, 2_500],
      },
      {
        ...base,
        name: "T6",
        promise: "a job that ends its worker fails in the end, and its neighbours finish",
        faults: { doze: 1 },
        doings: { ...mixed, die: 0.7 },
      },
      {
        ...base,
        name: "T9",
        promise: "at most one worker leads at any time, and what a leader does is done in the order of the terms",
        faults: { freeze: 4, mute: 1, silence: 1, kill: 1 },
        doings: { task: 1 },
        rest: [200, 400],
        pause: [500, 2_500],
      },
      {
        ...base,
        name: "T10",
        promise: "a listening connection that falls silent costs a poll interval, no job",
        faults: { listener: 3, mute: 1 },
        pause: [500, 3_000],
      },
      {
        ...base,
        name: "polling",
        promise: "without any notification everything is found by polling",
        faults: { stop: 1, cut: 1 },
        notifications: false,
      },
      {
        ...base,
        name: "T11",
        promise: "rolling restarts burn no attempt and lose no job",
        faults: { stop: 1 },
        doings: { ...mixed, slowTask: 12 },
        pause: [500, 2_500],
      },
      {
        ...base,
        name: "T13",
        promise: "all of it holds through PgBouncer in transaction mode",
        faults: { kill: 2, freeze: 2, cut: 2, lose: 4, stop: 1 },
        bouncer: true,
      },
      {
        ...base,
        name: "T14",
        promise: "recovery and completion of one job at once: one of them counts",
        faults: { kill: 2, freeze: 1, lose: 1 },
        serverFaults: { lock: 1 },
        serverPause: [100, 600],
        locks: [1_000, 5_500],
        doings: { task: 10, kept: 4, effect: 2 },
        concurrency: 30,
        rest: [10, 40],
      },
      {
        ...base,
        name: "T15",
        promise:
          "fifty writers of the same keys, half of whom roll back: one live job per key, and each is told the truth",
        faults: { cut: 1, lose: 3 },
        doings: { single: 1, keyedTransaction: 1 },
        writers: 25,
        rest: [20, 400],
      },
      {
        ...base,
        name: "T16",
        promise: "a handler that blocks the event loop for three leases keeps its jobs, which run once",
        faults: { cut: 1, lose: 1 },
        doings: { ...mixed, block: 1.5 },
      },
      {
        ...base,
        name: "alone",
        promise: "one worker that loses its lease, and claims its own jobs again, settles only the newer claims",
        workers: 1,
        faults: { freeze: 1 },
        // Jobs that were long enough to end just after the thaw, beside new ones that were claimed in the same call.
        doings: { task: 6, kept: 1, stubborn: 1 },
        concurrency: 200,
        rest: [60, 140],
        // Rarely: a job that was lost twice runs alone, and many long ones of those would not be done in time.
        pause: [5_000, 8_000],
      },
      {
        ...base,
        name: "late",
        promise: "jobs that commit late are found behind the floor of the scan",
        workers: 1,
        faults: {},
        doings: { task: 8, transaction: 1 },
        rest: [5, 30],
      },
      {
        ...base,
        name: "promotion",
        promise: "jobs that fall due at one moment are made ready once, by whoever",
        faults: { doze: 1 },
        doings: { burst: 1, task: 1 },
        rest: [100, 300],
      },
    ] as readonly Profile[]
  ).map((profile) => [profile.name, profile]),
)

// Bugs to plant into the compiled package, each of which the harness must catch. A patch names the text that it replaces;
// when that text is gone, or there twice, planting fails: then the patch has to follow the code.

export interface Edit {
  /** Below dist/. */
  readonly file: string
  readonly from: string
  readonly to: string
}

export interface Mutant {
  readonly name: string
  /** What a programmer might have thought. */
  readonly bug: string
  readonly edits: readonly Edit[]
  /** The test that is to catch it. */
  readonly test: string
  /** Of each round, s. Default 12. */
  readonly seconds?: number
  /** Rounds, each with another seed, until it has to be caught. Default 4. */
  readonly rounds?: number
}

const core = "postgres/migrations/0001-core.js"
const settled = "((j.id, j.token) in (select * from unnest(p_ids, p_tokens))) is true"

export const mutants: readonly Mutant[] = [
  {
    name: "settle-without-token",
    bug: "a settlement looks whether the job runs, not whether it is still this claim's",
    edits: [{ file: core, from: settled, to: "j.state = 'running'" }],
    test: "T1",
  },
  {
    name: "settle-pair-split",
    bug: "a settlement checks ids and tokens apart, not in pairs",
    edits: [{ file: core, from: settled, to: "j.token = any(p_tokens)" }],
    test: "alone",
    seconds: 25,
  },
  {
    name: "recovery-unguarded",
    bug: "recovery reads which jobs ran, and writes them later without looking again",
    edits: [
      {
        file: core,
        from: "where j.state = 'running' and j.worker = v_dead limit p_limit for update skip locked)",
        to: "where j.state = 'running' and j.worker = v_dead limit p_limit)",
      },
      {
        file: core,
        from: "where not d.final and j.id = d.id and j.queue = d.queue and j.token = d.token",
        to: "where not d.final and j.id = d.id and j.queue = d.queue",
      },
    ],
    test: "T14",
    seconds: 25,
    rounds: 6,
  },
  {
    name: "recovery-of-the-living",
    bug: "recovery does not wait until a lease is over",
    edits: [
      {
        file: core,
        from: "where w.expires_at < now() and w.incarnation",
        to: "where w.expires_at < now() + interval '3800 milliseconds' and w.incarnation",
      },
    ],
    test: "T2",
  },
  {
    name: "claim-reply-not-reconciled",
    bug: "claims whose reply was lost are nobody's",
    edits: [{ file: "worker/reconcile.js", from: "const unknown = claims.filter(", to: "const unknown = [].filter(" }],
    test: "T5",
  },
  {
    name: "wake-up-without-polling",
    bug: "jobs are looked for only when a notification says so",
    edits: [
      {
        file: "worker/queue-runner.js",
        from: "this.#promoter.look();\n        this.wake();\n    }\n    /** Takes over",
        to: "}\n    /** Takes over",
      },
    ],
    test: "polling",
  },
  {
    name: "floor-without-full-scan",
    bug: "a scan always starts behind the last claimed job",
    edits: [
      {
        file: "worker/scan-floors.js",
        from: "return this.#fullAt + Math.min(share * this.#fullCost, atLeastEvery) - now",
        to: "return this.#fullAt === -Infinity ? 0 : 1e9",
      },
    ],
    test: "late",
  },
  {
    name: "leader-renewal-unchecked",
    bug: "a leader renews without looking whether the term is still its own",
    edits: [
      {
        file: "postgres/leader.js",
        from: "where name = 'leader' and term = $1 and expires_at >= now()`",
        to: "where name = 'leader' and $1::text is not null`",
      },
      { file: "plugins/leadership/index.js", from: "if (!term.leads)\n            break;", to: "" },
    ],
    test: "T9",
    seconds: 20,
  },
  {
    name: "settlement-dropped-on-reconnect",
    bug: "outcomes whose call failed are not sent again",
    edits: [{ file: "worker/calls.js", from: "settlements.putBack(batch)", to: "settlements.confirm(batch)" }],
    test: "T5",
  },
  {
    name: "attempt-charged-on-shutdown",
    bug: "a job that is handed back by a worker that stops has used up an attempt",
    edits: [
      {
        file: "model/outcome.js",
        from: `return { state: "pending", charge: 0 };`,
        to: `return { state: "pending", charge: 1 };`,
      },
    ],
    test: "T11",
  },
  {
    name: "unique-look-up-removed",
    bug: "whoever pushes a key that is taken is told that its own job was stored",
    edits: [
      { file: "client/pusher.js", from: "if (row.existing !== null)", to: "if ((row.existing = row.id) !== null)" },
    ],
    test: "T15",
  },
  {
    name: "promotion-without-lock",
    bug: "jobs that fall due are read without a lock, and made ready whatever they are by then",
    edits: [
      {
        file: core,
        from: "set state = 'pending', ready_at = now()\n    where j.queue = p_queue and j.ctid = any(array(\n      select d.ctid from",
        to: "set state = 'pending', ready_at = now(), token = null, worker = null\n    where j.queue = p_queue and j.id = any(array(\n      select d.id from",
      },
      { file: core, from: "limit p_limit for update skip locked))", to: "limit p_limit))" },
    ],
    test: "promotion",
  },
  {
    name: "resurrected-worker",
    bug: "a worker that was frozen past its lease renews it, and goes on",
    edits: [
      {
        file: "postgres/workers.js",
        from: "interval '1 millisecond'\n   where incarnation = $1 and expires_at > now()",
        to: "interval '1 millisecond'\n   where incarnation = $1",
      },
      {
        file: "worker/heartbeat-thread.js",
        from: `end = setTimeout(() => say({ kind: "lost" }), trustedUntil - now());`,
        to: "",
      },
      { file: "worker/heartbeat-thread.js", from: "if (now() >= trustedUntil)\n            break;", to: "" },
    ],
    test: "alone",
    seconds: 20,
  },
  {
    name: "push-acknowledged-unstored",
    bug: "a push whose statement failed counts as done",
    edits: [{ file: "client/pusher.js", from: "failures += 1;", to: "return jobs.map(asked);" }],
    test: "T5",
  },
  {
    name: "resend-as-new",
    bug: "a push whose reply was lost is sent again as if it were another",
    edits: [{ file: "client/pusher.js", from: "resend = true;", to: "" }],
    test: "T5",
  },
  {
    name: "transaction-ignores-stale",
    bug: "a handler's transaction commits whether or not its claim is still valid",
    edits: [{ file: "worker/transaction.js", from: "if (summary.stale)", to: "if (summary.stale === undefined)" }],
    test: "T1",
    seconds: 25,
  },
  {
    name: "saving-ignores-stale",
    bug: "what plugins write with a settlement is written also when the settlement changed nothing",
    edits: [
      {
        file: "worker/settle-lane.js",
        from: "const ended = accepted(batch, summary);",
        to: "const ended = batch.map(({ attempt, settlement }) => ({ job: attempt, state: settlement.state }));",
      },
    ],
    test: "T1",
    seconds: 25,
  },
  {
    name: "crash-not-counted",
    bug: "recovery does not count how often a job was lost",
    edits: [{ file: core, from: `takeBack(s, "1", "v_name")`, to: `takeBack(s, "0", "v_name")` }],
    test: "T6",
  },
  {
    name: "cancel-forgotten",
    bug: "a job that was asked to be cancelled while it ran ends as its handler says",
    edits: [
      {
        file: core,
        from: "case when g.cancel is not null then 'cancelled' else coalesce(o.state, 'succeeded') end",
        to: "coalesce(o.state, 'succeeded')",
      },
      { file: core, from: "case when g.cancel is not null then 'cancelled' else 'succeeded' end", to: "'succeeded'" },
    ],
    test: "T2",
  },
]

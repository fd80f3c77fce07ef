import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/**
 * What this process counts about itself, for `/metrics`. No label holds an account, a token, a person or an address, and
 * each takes its values from a list that the program itself bounds: routes, jobs, kinds, outcomes.
 */
export const registry = new Registry();

const registers = [registry];

/** Milliseconds for what Postgres answers, seconds for what a processor answers, half a minute for a long poll. */
const LATENCY_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** From a minute to the three days after which an approval expires. */
const DECISION_BUCKETS = [60, 300, 900, 3_600, 14_400, 43_200, 86_400, 172_800, 259_200];

const requests = new Counter({
  name: "countersign_http_requests_total",
  help: "Requests answered, by the route's pattern and the status.",
  labelNames: ["method", "route", "status"],
  registers,
});

const latency = new Histogram({
  name: "countersign_http_request_duration_seconds",
  help: "How long requests took to be answered, by the route's pattern. Long polls are held for up to 30 s.",
  labelNames: ["method", "route"],
  buckets: LATENCY_BUCKETS,
  registers,
});

const rateLimits = new Counter({
  name: "countersign_rate_limited_total",
  help: "Refusals by a rate limit, by the limit's name.",
  labelNames: ["limit"],
  registers,
});

const signIns = new Counter({
  name: "countersign_sign_ins_total",
  help: "Sign-ins, by what they were tried with and how they ended.",
  labelNames: ["by", "outcome"],
  registers,
});

const decisions = new Histogram({
  name: "countersign_approval_decision_seconds",
  help: "From the request for an approval to the person's decision.",
  labelNames: ["decision"],
  buckets: DECISION_BUCKETS,
  registers,
});

const approvals = new Counter({
  name: "countersign_approvals_ended_total",
  help: "Approvals that this process ended, by how: confirmed, declined, expired.",
  labelNames: ["status"],
  registers,
});

const payments = new Counter({
  name: "countersign_payment_steps_total",
  help: "What became of payment attempts each time that this process advanced one, by kind.",
  labelNames: ["kind", "outcome"],
  registers,
});

const sweepRuns = new Counter({
  name: "countersign_sweep_runs_total",
  help: "Runs of each sweep, by how they ended.",
  labelNames: ["job", "outcome"],
  registers,
});

const sweepRows = new Counter({
  name: "countersign_sweep_done_total",
  help: "What each sweep did, as it counts.",
  labelNames: ["job"],
  registers,
});

const sweepSeconds = new Gauge({
  name: "countersign_sweep_duration_seconds",
  help: "How long the last run of each sweep took.",
  labelNames: ["job"],
  registers,
});

const sweepSuccess = new Gauge({
  name: "countersign_sweep_last_success_timestamp_seconds",
  help: "When each sweep last succeeded in this process.",
  labelNames: ["job"],
  registers,
});

const poolWaits = new Histogram({
  name: "countersign_database_pool_wait_seconds",
  help: "How long queries waited for a free database connection.",
  buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 1, 3],
  registers,
});

/** What log lines with an `alert` name (docs/stripe.md, When something goes wrong). */
export const ALERTS = [
  "charge_not_booked",
  "payment_disputed",
  "payment_in_doubt",
  "payment_refunded",
  "payout_returned",
  "refund_returned",
  "top_up_paid_twice",
  "top_up_reversed",
] as const;

const alerts = new Counter({
  name: "countersign_alerts_total",
  help: "Log lines that need a person, by their `alert`.",
  labelNames: ["alert"],
  registers,
});
// A series that begins with 1 has no increase.
for (const alert of ALERTS) alerts.inc({ alert }, 0);

/** Counts a log line that needs a person. */
export function countAlert(alert: string): void {
  alerts.inc({ alert: ALERTS.some((known) => known === alert) ? alert : "other" });
}

/** What a request may be called by; a client can send any of 35 methods to an address that does not exist. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

/** Counts an answered request. @param route the route's pattern; never the address, which may hold anything */
export function countRequest(method: string, route: string, status: number, seconds: number): void {
  const known = METHODS.has(method) ? method : "other";
  requests.inc({ method: known, route, status });
  latency.observe({ method: known, route }, seconds);
}

/** Counts a refusal. @param limit the limit's name, without whom it refused */
export function countRateLimited(limit: string): void {
  rateLimits.inc({ limit });
}

export type SignInOutcome = "succeeded" | "refused" | "limited";

export function countSignIn(
  by: "password" | "passkey" | "invitation" | "claim",
  outcome: SignInOutcome,
): void {
  signIns.inc({ by, outcome });
}

/** Notes how long a person took to decide. */
export function observeDecision(decision: "confirm" | "decline", seconds: number): void {
  decisions.observe({ decision }, seconds);
}

export function countEnded(status: "confirmed" | "declined" | "expired", count = 1): void {
  approvals.inc({ status }, count);
}

export function countPaymentStep(kind: string, outcome: string): void {
  payments.inc({ kind, outcome });
}

/** Notes a run of a sweep. @param done what it did, if it counts */
export function noteSweep(job: string, run: { ok: boolean; seconds: number; done: number }): void {
  sweepRuns.inc({ job, outcome: run.ok ? "succeeded" : "failed" });
  if (run.done > 0) sweepRows.inc({ job }, run.done);
  sweepSeconds.set({ job }, run.seconds);
  if (run.ok) sweepSuccess.setToCurrentTime({ job });
}

export function observePoolWait(seconds: number): void {
  poolWaits.observe(seconds);
}

/** A pool of database connections, as it describes itself. */
export type PoolState = { totalCount: number; idleCount: number; waitingCount: number };

/**
 * Starts what only a running service measures: event loop, memory, garbage collection, and its pool.
 * @param size connections that the pool may open
 */
export function measureProcess(pool: PoolState, size: number): void {
  registry.removeSingleMetric("countersign_database_pool_connections");
  if (registry.getSingleMetric("nodejs_eventloop_lag_seconds") === undefined)
    collectDefaultMetrics({ register: registry });
  new Gauge({
    name: "countersign_database_pool_connections",
    help: "Database connections of this process: in use, idle, what the pool may hold, and callers that wait for one.",
    labelNames: ["state"],
    registers,
    collect() {
      this.set({ state: "used" }, pool.totalCount - pool.idleCount);
      this.set({ state: "idle" }, pool.idleCount);
      this.set({ state: "limit" }, size);
      this.set({ state: "waiting" }, pool.waitingCount);
    },
  });
}

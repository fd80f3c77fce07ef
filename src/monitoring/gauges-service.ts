import { countInDoubt } from "../billing/payment-service.ts";
import type { Db } from "../database/connection.ts";
import { probeWrites } from "../database/write-probe.ts";
import { SECOND } from "../lib/time.ts";
import { registry } from "../metrics/metrics.ts";
import * as gauges from "./gauges-store.ts";
import { readWorkSeen } from "./sweep-store.ts";

/** However often it is scraped, by however many, the database is asked this often at most. */
const KEPT = 5 * SECOND;
const PREFIX = "countersign_";

type Sample = { labels?: Record<string, string>; value: number };
/** One gauge, as the database has it now. */
type Reading = { name: string; help: string; samples: Sample[] };

const one = (name: string, help: string, value: number): Reading => ({ name, help, samples: [{ value }] });

async function readGauges(db: Db): Promise<Reading[]> {
  const [queues, approvals, payments, doubt, feed, seen] = await Promise.all([
    gauges.readQueues(db),
    gauges.readApprovals(db),
    gauges.readOpenPayments(db),
    countInDoubt(db),
    gauges.readFeed(db),
    readWorkSeen(db),
  ]);
  const ofQueue = (value: (row: gauges.QueueRow) => number) =>
    queues.map((row) => ({ labels: { queue: row.queue }, value: value(row) }));
  return [
    {
      name: "queue_due",
      help: "What is due in each queue, 10,000 at most.",
      samples: ofQueue(({ due }) => due),
    },
    {
      name: "queue_oldest_due_seconds",
      help: "For how long the oldest in each queue has been due; 0: nothing is.",
      samples: ofQueue(({ oldestSeconds }) => oldestSeconds),
    },
    {
      name: "approvals",
      help: "Approvals that are not decided, 10,000 at most: all, and those whose payment is under way.",
      samples: [
        { labels: { state: "pending" }, value: approvals.pending },
        { labels: { state: "executing" }, value: approvals.executing },
      ],
    },
    one(
      "approval_oldest_pending_seconds",
      "The age of the oldest pending approval.",
      approvals.oldestSeconds,
    ),
    {
      name: "payments_open",
      help: "Payment attempts that are not decided, by kind and state, 10,000 at most.",
      samples: payments.map(({ kind, status, count }) => ({ labels: { kind, status }, value: count })),
    },
    one("payments_in_doubt", "Payment attempts whose outcome is in doubt, 10,000 at most.", doubt.count),
    one("payment_in_doubt_oldest_seconds", "For how long the first of them has been.", doubt.oldestSeconds),
    one("feed_head", "The number of the last event of the operator's feed.", feed.head),
    one(
      "feed_untaken",
      "Events that the operator's feed has not taken over yet, 10,000 at most.",
      feed.untaken,
    ),
    {
      name: "operator_webhook_lag_events",
      help: "Events that the operator's webhook has not delivered yet; absent: there is none.",
      samples: feed.webhookLag === null ? [] : [{ value: feed.webhookLag }],
    },
    {
      name: "work_seen_seconds",
      help: "For how long no process that runs the sweeps has reported itself; absent: none ever has.",
      samples: seen === undefined ? [] : [{ value: Math.max(0, seen.secondsAgo) }],
    },
  ];
}

async function readDatabase(db: Db): Promise<Reading[]> {
  const readings = await readGauges(db);
  const writable = await probeWrites(db).then(
    () => 1,
    () => 0,
  );
  const help =
    "Whether the database took a write at the last scrape; a full disk and a read-only server do not.";
  return [...readings, one("database_writable", help, writable)];
}

/**
 * Describes this process and the database in Prometheus's text format.
 * @returns a function that writes it; where the database does not answer, it says so and leaves out what is read there
 */
export function openMetrics(db: Db): () => Promise<string> {
  let kept: { at: number; readings: Promise<Reading[]> } | undefined;
  const read = (): Promise<Reading[]> => {
    const now = performance.now();
    if (kept === undefined || now - kept.at >= KEPT) kept = { at: now, readings: readDatabase(db) };
    return kept.readings;
  };
  return async () => {
    const readings = await read().catch(() => []);
    const up = readings.length > 0 ? 1 : 0;
    const written = [...readings, one("database_up", "Whether the database answered the last scrape.", up)];
    return `${await registry.metrics()}\n${written.map(write).join("")}`;
  };
}

/** One gauge in the text format. Names and labels are the program's own, so that nothing needs escaping. */
function write({ name, help, samples }: Reading): string {
  const lines = samples.map(({ labels = {}, value }) => {
    const pairs = Object.entries(labels).map(([key, label]) => `${key}="${label}"`);
    return `${PREFIX}${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}\n`;
  });
  return `# HELP ${PREFIX}${name} ${help}\n# TYPE ${PREFIX}${name} gauge\n${lines.join("")}`;
}

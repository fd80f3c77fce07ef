import { sql } from "kysely";
import type { Db } from "../database/connection.ts";

/** Counts stop here: a scrape stays cheap however much has piled up. */
const COUNTED_AT_MOST = 10_000;

/** What waits to be worked on, and since when. */
export type QueueRow = { queue: string; due: number; oldestSeconds: number };

/** Where each queue's rows stand, what makes one due, and the column that says since when: an index each. */
const QUEUES = {
  payments: ["payments", "due_at <= now()", "due_at"],
  top_ups: ["top_ups", "due_at <= now()", "due_at"],
  expired_approvals: [
    "approvals",
    "status = 'pending' and executing_at is null and expires_at <= now()",
    "expires_at",
  ],
  approval_mails: ["approvals", "status = 'pending' and notify_at <= now()", "notify_at"],
  processor_events: ["processor_events", "due_at <= now()", "due_at"],
  webhooks_fast: ["webhooks", "(slow_since is not null) = false and due_at <= now()", "due_at"],
  webhooks_slow: ["webhooks", "(slow_since is not null) = true and due_at <= now()", "due_at"],
  operator_webhook: [
    "operator_webhook",
    "due_at <= now() and cursor < (select last_event from operator_head)",
    "due_at",
  ],
  mails: ["mails", "sent_at is null and failed_at is null and urgent = false and due_at <= now()", "due_at"],
  urgent_mails: [
    "mails",
    "sent_at is null and failed_at is null and urgent = true and due_at <= now()",
    "due_at",
  ],
} as const;

/** The statement is the same each time: nothing in it comes from outside. */
const QUEUES_SQL = Object.entries(QUEUES)
  .map(
    ([queue, [table, due, since]]) => `
    select '${queue}' as queue,
      (select count(*)::int from (select from ${table} where ${due} limit ${COUNTED_AT_MOST}) as counted) as due,
      coalesce((
        select extract(epoch from now() - ${since})::float8 from ${table} where ${due} order by ${since} limit 1
      ), 0) as "oldestSeconds"`,
  )
  .join(" union all ");

/** Every queue of the service: how much of it is due now, 10,000 at most, and for how many seconds the oldest has been. */
export async function readQueues(db: Db): Promise<QueueRow[]> {
  return (await sql.raw<QueueRow>(QUEUES_SQL).execute(db)).rows;
}

export type ApprovalGauges = { pending: number; executing: number; oldestSeconds: number };

/** How many approvals are pending and executing, 10,000 at most, and how many seconds ago the oldest was asked for. */
export async function readApprovals(db: Db): Promise<ApprovalGauges> {
  const { rows } = await sql<ApprovalGauges>`select
    (select count(*)::int from (
      select from approvals where status = 'pending' limit ${sql.lit(COUNTED_AT_MOST)}) as counted) as pending,
    (select count(distinct approval_id)::int from (
      select approval_id from executing_milestones limit ${sql.lit(COUNTED_AT_MOST)}) as counted) as executing,
    coalesce((select extract(epoch from now() - created_at)::float8 from approvals
      where status = 'pending' order by id limit 1), 0) as "oldestSeconds"`.execute(db);
  return rows[0] ?? { pending: 0, executing: 0, oldestSeconds: 0 };
}

export type OpenPaymentsRow = { kind: string; status: string; count: number };

/** Payments that are not decided, by kind and status, 10,000 at most. */
export async function readOpenPayments(db: Db): Promise<OpenPaymentsRow[]> {
  const { rows } = await sql<OpenPaymentsRow>`
    select kind, status, count(*)::int as count
    from (select kind, status from payments where due_at is not null limit ${sql.lit(COUNTED_AT_MOST)}) as open
    group by kind, status`.execute(db);
  return rows;
}

export type FeedGauges = { head: number; untaken: number; webhookLag: number | null };

/** The operator's feed: its last event, events that it has not taken over yet, and how many its webhook lacks. */
export async function readFeed(db: Db): Promise<FeedGauges> {
  const { rows } = await sql<FeedGauges>`select last_event as head,
    (select count(*)::int from (
      select from operator_outbox limit ${sql.lit(COUNTED_AT_MOST)}) as counted) as untaken,
    (select h.last_event - w.cursor from operator_webhook w) as "webhookLag"
    from operator_head h`.execute(db);
  return rows[0] ?? { head: 0, untaken: 0, webhookLag: null };
}

import { type RawBuilder, sql } from "kysely";
import type { ApprovalRow } from "../approvals/service.ts";
import { inDoubtSince } from "../billing/payment-service.ts";
import type { Db } from "../database/connection.ts";
import type { ApprovalStatus, PaymentKind, PaymentStatus, Terms } from "../database/schema.ts";
import { lowestIdAt } from "../lib/ids.ts";
import { addSeconds, HOUR_SECONDS } from "../lib/time.ts";

/** Which of all accounts' rows: of one account, made since a time, before the id at which the page before ended. */
export type Bounds = {
  accountId?: string | undefined;
  since?: Date | undefined;
  before?: string | undefined;
};

export type ListedApproval = ApprovalRow & {
  organizationId: string;
  terms: Terms;
  tokenName: string;
  executingAt: Date | null;
};

const APPROVAL_COLUMNS = sql`account_id, id, type, status, contract_id as "contractId",
  milestone_id as "milestoneId", job_id as "jobId", result, terms, token_name as "tokenName",
  executing_at is not null as executing, executing_at as "executingAt", created_at as "createdAt",
  expires_at as "expiresAt", resolved_at as "resolvedAt"`;

/** How far the clock of a process that made an id may be behind the database's. */
const CLOCKS_APART_SECONDS = HOUR_SECONDS;

/** Ids are UUIDv7, so a scan of `since` from the newest on ends at the first that is older. */
function within({ accountId, since, before }: Bounds): RawBuilder<boolean> {
  const conditions = [sql<boolean>`true`];
  if (accountId !== undefined) conditions.push(sql`account_id = ${accountId}`);
  if (before !== undefined) conditions.push(sql`id < ${before}`);
  if (since !== undefined)
    conditions.push(
      sql`created_at >= ${since} and id >= ${lowestIdAt(addSeconds(since, -CLOCKS_APART_SECONDS))}`,
    );
  return sql.join(conditions, sql` and `);
}

/** The newest of one status, by its index; each statement names its status, as a partial index needs it. */
function newest(table: string, columns: RawBuilder<unknown>, where: RawBuilder<unknown>, limit: number) {
  return sql`(select ${columns} from ${sql.table(table)} where ${where} order by id desc limit ${limit})`;
}

/** The newest of a set that is small by itself: it is read whole by its own index, and not along all ids. */
function newestOfFew(table: string, columns: RawBuilder<unknown>, where: RawBuilder<unknown>, limit: number) {
  return sql`(select * from (select ${columns} from ${sql.table(table)} where ${where} offset 0) as few
    order by id desc limit ${limit})`;
}

function approvalsOf(status: ApprovalStatus, bounds: Bounds, limit: number): RawBuilder<unknown>[] {
  const inBounds = within(bounds);
  const pick = (where: RawBuilder<unknown>, few = false) =>
    (few ? newestOfFew : newest)("approvals", APPROVAL_COLUMNS, sql`${where} and ${inBounds}`, limit);
  // At most 100 of an account are pending.
  const fewPending = bounds.accountId !== undefined;
  switch (status) {
    case "pending":
      return [pick(sql`status = 'pending' and (expires_at > now() or executing_at is not null)`, fewPending)];
    case "expired":
      // Read as expired before the sweep has written it.
      return [
        pick(sql`status = 'expired'`),
        pick(sql`status = 'pending' and executing_at is null and expires_at <= now()`, true),
      ];
    default:
      return [pick(sql`status = ${sql.lit(status)}`)];
  }
}

/** Approvals of these statuses, as they read now, newest first. */
export async function listApprovals(
  db: Db,
  statuses: readonly ApprovalStatus[],
  bounds: Bounds,
  limit: number,
): Promise<ListedApproval[]> {
  const parts = statuses.flatMap((status) => approvalsOf(status, bounds, limit));
  const { rows } = await sql<ListedApproval>`
    select a.id as "organizationId", l.* from (${sql.join(parts, sql` union all `)}) as l
    join accounts a on a.account_id = l.account_id
    order by l.id desc limit ${limit}`.execute(db);
  return rows;
}

export type ListedPayment = {
  organizationId: string;
  id: string;
  kind: PaymentKind;
  status: PaymentStatus;
  approvalId: string;
  milestoneId: string;
  amountCents: number;
  currency: string;
  attempt: number;
  intentId: string | null;
  sentId: string | null;
  refusalCode: string | null;
  inDoubtSince: Date | null;
  createdAt: Date;
  resolvedAt: Date | null;
};

const PAYMENT_COLUMNS = sql`account_id, id, kind, status, approval_id as "approvalId",
  milestone_id as "milestoneId", amount_cents as "amountCents", currency, key_number as attempt,
  intent_id as "intentId", sent_id as "sentId", refusal_code as "refusalCode", ${inDoubtSince} as "inDoubtSince",
  created_at as "createdAt", resolved_at as "resolvedAt"`;

function paymentsOf(status: PaymentStatus | "in_doubt", bounds: Bounds, limit: number): RawBuilder<unknown> {
  const inBounds = within(bounds);
  if (status !== "in_doubt")
    return newest("payments", PAYMENT_COLUMNS, sql`status = ${sql.lit(status)} and ${inBounds}`, limit);
  const doubtful = sql`due_at is not null and ${inDoubtSince} is not null and ${inBounds}`;
  return newestOfFew("payments", PAYMENT_COLUMNS, doubtful, limit);
}

/** Payment attempts of these statuses, newest first. */
export async function listPayments(
  db: Db,
  statuses: readonly (PaymentStatus | "in_doubt")[],
  bounds: Bounds,
  limit: number,
): Promise<ListedPayment[]> {
  const parts = statuses.map((status) => paymentsOf(status, bounds, limit));
  const { rows } = await sql<ListedPayment>`
    select a.id as "organizationId", l.* from (${sql.join(parts, sql` union all `)}) as l
    join accounts a on a.account_id = l.account_id
    order by l.id desc limit ${limit}`.execute(db);
  return rows;
}

/** What was confirmed and is not decided. */
const UNDER_WAY = ["created", "submitted", "unknown", "action_required"] satisfies PaymentStatus[];

export type PaymentUnderWay = ListedPayment & {
  /** When it is read again; null: when the person or the bank has answered. */
  dueAt: Date | null;
};

/** The payment attempts that are not decided, the oldest first. */
export async function listUnderWay(db: Db, limit: number): Promise<PaymentUnderWay[]> {
  const parts = UNDER_WAY.map(
    (status) => sql`(select ${PAYMENT_COLUMNS}, due_at as "dueAt" from payments
      where status = ${sql.lit(status)} order by id limit ${limit})`,
  );
  const { rows } = await sql<PaymentUnderWay>`
    select a.id as "organizationId", l.* from (${sql.join(parts, sql` union all `)}) as l
    join accounts a on a.account_id = l.account_id
    order by l.id limit ${limit}`.execute(db);
  return rows;
}

type Place = { at: Date; id: string };

/** Accounts, newest first. @param before where the page before ended: when the account was created, and its key */
export function listAccounts(db: Db, before: Place | undefined, limit: number) {
  return db
    .selectFrom("accounts")
    .$if(before !== undefined, (query) =>
      query.where(sql<boolean>`(created_at, account_id) < (${before?.at}::timestamptz, ${before?.id}::uuid)`),
    )
    .selectAll()
    .orderBy("created_at", "desc")
    .orderBy("account_id", "desc")
    .limit(limit)
    .execute();
}

/** The pending approvals that expire first: those that have waited longest. */
export async function listOldestPending(db: Db, limit: number): Promise<ListedApproval[]> {
  const { rows } = await sql<ListedApproval>`
    select a.id as "organizationId", l.* from (
      select ${APPROVAL_COLUMNS} from approvals where status = 'pending' order by id limit ${limit}
    ) as l
    join accounts a on a.account_id = l.account_id
    order by l.id`.execute(db);
  return rows;
}

export type FailingWebhook = {
  account: string;
  webhook: string;
  url: string;
  status: string;
  failures: number;
  dueAt: Date | null;
  slowSince: Date | null;
  lastAnswer: string | null;
};

/** Webhooks with deliveries that wait, by when the next attempt is due. */
export async function listFailingWebhooks(db: Db, limit: number): Promise<FailingWebhook[]> {
  const lane = (slow: boolean) => sql`(
    select account_id, id, origin, status, failures, due_at, slow_since from webhooks
    where (slow_since is not null) = ${sql.lit(slow)} and due_at is not null order by due_at limit ${limit})`;
  const { rows } = await sql<FailingWebhook>`
    select a.id as account, w.id as webhook, w.origin as url, w.status, w.failures, w.due_at as "dueAt",
      w.slow_since as "slowSince",
      (select coalesce(d.answer_status::text, d.answer_error) from webhook_deliveries d
        where d.account_id = w.account_id and d.webhook_id = w.id and d.status = 'PENDING'
        order by d.due_at limit 1) as "lastAnswer"
    from (${lane(false)} union all ${lane(true)}) as w
    join accounts a on a.account_id = w.account_id
    order by w.due_at limit ${limit}`.execute(db);
  return rows;
}

/** How an account's webhooks stand, which its API does not show. */
export type WebhookState = { id: string; failures: number; dueAt: Date | null; slowSince: Date | null };

export function listWebhookStates(db: Db, accountId: string): Promise<WebhookState[]> {
  return db
    .selectFrom("webhooks")
    .where("account_id", "=", accountId)
    .where("status", "<>", "DELETED")
    .select(["id", "failures", "due_at as dueAt", "slow_since as slowSince"])
    .execute();
}

import { type RawBuilder, sql } from "kysely";
import { ROLES } from "../accounts/roles.ts";
import {
  GRANT_COLUMNS,
  GRANT_PARAMETERS,
  GRANT_TABLES,
  type Grant,
  grantCondition,
} from "../accounts/service.ts";
import { readClockNow } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { ApprovalStatus, ApprovalType } from "../database/schema.ts";
import { batchedRead } from "../database/statements.ts";
import { together } from "../database/transaction.ts";
import type { Credential } from "../lib/secrets.ts";

/** An approval, as every statement reads it. */
export type ApprovalRow = {
  id: string;
  type: ApprovalType;
  status: ApprovalStatus;
  contractId: string;
  milestoneId: string | null;
  jobId: string;
  result: Record<string, unknown> | null;
  executing: boolean;
  createdAt: Date;
  expiresAt: Date;
  resolvedAt: Date | null;
};

const APPROVAL_PARAMETERS = { ...GRANT_PARAMETERS, approvalId: "uuid" } as const;

const selectApproval = batchedRead<typeof APPROVAL_PARAMETERS, GrantWithApproval>(
  APPROVAL_PARAMETERS,
  (names) => `
    select ${GRANT_COLUMNS}, v.id, v.type, v.status, v.contract_id as "contractId", v.milestone_id as "milestoneId",
      v.job_id as "jobId", v.result, v.executing_at is not null as executing, v.created_at as "createdAt",
      v.expires_at as "expiresAt", v.resolved_at as "resolvedAt"
    from ${GRANT_TABLES}
    left join approvals v on v.account_id = t.account_id and v.id = ${names.approvalId}
    where ${grantCondition(names)}`,
);

export type GrantWithApproval = Grant & Omit<ApprovalRow, "id"> & { id: string | null };

/** Reads an approval with the token that asks for it. `undefined`: no such token. */
export async function readApproval(
  db: Db,
  credential: Credential,
  approvalId: string | null,
): Promise<GrantWithApproval | undefined> {
  return (await selectApproval(db, { ...credential, approvalId }))[0];
}

/**
 * Waits for a decision of the approval that is being committed. A decision reads the clock after it has locked the
 * approval. So one that had expired before this call, and is pending after it, can no longer be decided.
 */
export async function awaitDecision(db: Db, accountId: string, id: string): Promise<void> {
  await sql`select 1 from approvals where account_id = ${accountId} and id = ${id} for share`.execute(db);
}

export type EndedApproval = { id: string; jobId: string };

/** Expires pending approvals whose time has passed, except those that are being paid. */
export async function markExpired(trx: Trx, accountId: string, approvalIds: readonly string[], now: Date) {
  // In the order in which all others take an account's approvals.
  if (approvalIds.length > 1)
    await sql`
      select 1 from approvals where account_id = ${accountId} and id = any(${approvalIds}::uuid[])
      order by id for no key update`.execute(trx);
  const { rows } = await sql<EndedApproval>`
    update approvals set status = 'expired', resolved_at = expires_at
    where account_id = ${accountId} and id = any(${approvalIds}::uuid[])
      and status = 'pending' and executing_at is null and expires_at <= ${now}
    returning id, job_id as "jobId"`.execute(trx);
  return rows;
}

/** A milestone's pending approvals; a contract's, including its milestones'; or only the contract's end. */
export type Subject = { milestoneId: string } | { contractId: string } | { endOf: string };

function ofSubject(subject: Subject): RawBuilder<unknown> {
  if ("milestoneId" in subject) return sql`milestone_id = ${subject.milestoneId}`;
  if ("contractId" in subject) return sql`contract_id = ${subject.contractId}`;
  return sql`type = 'contract_end' and subject_id = ${subject.endOf}`;
}

/**
 * Ends the pending approvals of a milestone or contract because they can no longer execute as requested. Whether one
 * had expired is decided after its row is locked: a reader that saw it expire waits for that row (`awaitDecision`),
 * so its answer never changes. One that was created after the caller read the clock ends at its creation, not before.
 */
export async function endPending(
  trx: Trx,
  accountId: string,
  subject: Subject,
  end: { reason: string; now: Date },
): Promise<EndedApproval[]> {
  const condition = ofSubject(subject);
  const held = await sql<{ id: string }>`
    select id from approvals
    where account_id = ${accountId} and ${condition} and status = 'pending' and executing_at is null
    order by id for no key update`.execute(trx);
  if (held.rows.length === 0) return [];
  const heldAt = await readClockNow(trx);
  const { rows } = await sql<EndedApproval>`
    update approvals set status = 'expired',
      resolved_at = case when expires_at <= ${heldAt}::timestamptz then expires_at
        else greatest(created_at, ${end.now}::timestamptz) end,
      result = case when expires_at <= ${heldAt}::timestamptz then null
        else ${JSON.stringify({ reason: end.reason })}::jsonb end
    where account_id = ${accountId} and id = any(${held.rows.map(({ id }) => id)}::uuid[])
    returning id, job_id as "jobId"`.execute(trx);
  return rows;
}

export type ExpiredApproval = { accountId: string; id: string; expiresAt: Date };

/** Expired approvals of any account that are still pending, after one of them, oldest first. */
export async function listExpired(db: Db, now: Date, after: ExpiredApproval | undefined, limit: number) {
  const beyond =
    after === undefined
      ? sql`true`
      : sql`(expires_at, id) > (${after.expiresAt}::timestamptz, ${after.id}::uuid)`;
  const { rows } = await sql<ExpiredApproval>`
    select account_id as "accountId", id, expires_at as "expiresAt" from approvals
    where status = 'pending' and executing_at is null and expires_at <= ${now} and ${beyond}
    order by expires_at, id limit ${limit}`.execute(db);
  return rows;
}

/** Whether the approval's time has passed, by the database's clock, even while it is being paid. */
export async function isOverdue(db: Db, accountId: string, id: string): Promise<boolean> {
  const row = await db
    .selectFrom("approvals")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("expires_at", "<=", sql<Date>`now()`)
    .select("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Whether a person who signed for a payment attempt may no longer decide for the account. */
export async function hasSignerLeft(db: Db, accountId: string, paymentId: string): Promise<boolean> {
  const { rows } = await sql<{ userId: string }>`
    select s.user_id as "userId" from payment_signatures s
    left join members m on m.account_id = s.account_id and m.user_id = s.user_id and m.status = 'active'
      and m.role = any(${ROLES.decide})
    where s.account_id = ${accountId} and s.payment_id = ${paymentId} and m.id is null limit 1`.execute(db);
  return rows.length > 0;
}

/** The account's approvals that the person has confirmed and that are being paid. */
export async function listExecutingOf(db: Db, accountId: string, userId: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select distinct v.id from approvals v
    join signatures s on s.account_id = v.account_id and s.approval_id = v.id and s.decision = 'confirm'
    where v.account_id = ${accountId} and s.account_id = ${accountId} and v.status = 'pending'
      and v.executing_at is not null and s.user_id = ${userId}`.execute(db);
  return rows.map(({ id }) => id);
}

/** Confirms the approval whose action has executed and unlocks its milestones. */
export async function confirmExecuted(
  trx: Trx,
  accountId: string,
  id: string,
  result: Record<string, unknown>,
  now: Date,
): Promise<void> {
  const confirmed = trx
    .updateTable("approvals")
    .set({ status: "confirmed", executing_at: null, result: JSON.stringify(result), resolved_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "pending")
    .where("executing_at", "is not", null)
    .execute();
  await together(confirmed, freeMilestones(trx, accountId, id));
}

/** Ends an execution that failed: the approval is pending again, or expired if its time has passed. */
export async function releaseExecuting(
  trx: Trx,
  accountId: string,
  id: string,
  now: Date,
): Promise<EndedApproval[]> {
  const { rows } = await sql<EndedApproval & { expired: boolean }>`
    update approvals set executing_at = null,
      status = case when expires_at <= ${now}::timestamptz then 'expired' else 'pending' end,
      resolved_at = case when expires_at <= ${now}::timestamptz then ${now}::timestamptz end
    where account_id = ${accountId} and id = ${id} and status = 'pending' and executing_at is not null
    returning id, job_id as "jobId", status = 'expired' as expired`.execute(trx);
  await freeMilestones(trx, accountId, id);
  return rows.filter((row) => row.expired);
}

/** Ends an execution that did only a part of what was requested. */
export async function endExecuting(
  trx: Trx,
  accountId: string,
  id: string,
  result: { reason: string },
  now: Date,
): Promise<EndedApproval[]> {
  const ended = await trx
    .updateTable("approvals")
    .set({ status: "expired", executing_at: null, result: JSON.stringify(result), resolved_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "pending")
    .where("executing_at", "is not", null)
    .returning(["id", "job_id as jobId"])
    .execute();
  await freeMilestones(trx, accountId, id);
  return ended;
}

async function freeMilestones(trx: Trx, accountId: string, approvalId: string): Promise<void> {
  await trx
    .deleteFrom("executing_milestones")
    .where("account_id", "=", accountId)
    .where("approval_id", "=", approvalId)
    .execute();
}

import { sql } from "kysely";
import { FUNDING_TERMS } from "../contracts/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import type {
  Asker,
  ContractStatus,
  CoSign,
  MilestoneStatus,
  Proof,
  SignaturesTable,
  Terms,
} from "../database/schema.ts";
import { latest } from "../lib/time.ts";
import type { ApprovalRow } from "./store.ts";

/** An approval as its page needs it, with the present state of what it is about. */
export type HumanApprovalRow = ApprovalRow & {
  now: Date;
  accountId: string;
  organizationId: string;
  accountName: string;
  coSign: CoSign;
  /** The lower of the limits at the request and now, in cents; null: one person is enough. */
  secondSignerFromCents: number | null;
  frozen: boolean;
  paymentsPaused: boolean;
  terms: Terms;
  termsDigest: Buffer;
  tokenName: string;
  tokenPreview: string;
  /** Who stands behind the token that asked; null: not known. */
  asker: Asker | null;
  contractTitle: string;
  contractStatus: ContractStatus;
  milestoneName: string | null;
  milestoneStatus: MilestoneStatus;
  /** The terms as they are now; they are the approval's, or the approval has ended. */
  presentTerms: Terms;
  card: { id: string; brand: string; last4: string; expMonth: number; expYear: number } | null;
};

const COLUMNS = sql<HumanApprovalRow>`
  date_trunc('milliseconds', now()) as now, a.account_id as "accountId", a.id as "organizationId", a.name as "accountName",
  a.frozen, (select paused from payment_pause) as "paymentsPaused",
  v.id, v.type, v.status, v.contract_id as "contractId", v.milestone_id as "milestoneId", v.job_id as "jobId", v.result,
  v.executing_at is not null as executing, v.created_at as "createdAt", v.expires_at as "expiresAt",
  v.resolved_at as "resolvedAt",
  case when 'passkey' in (v.co_sign, a.co_sign) then 'passkey' else 'session' end as "coSign",
  least(v.second_signer_from_cents, a.second_signer_from_cents) as "secondSignerFromCents", v.terms, v.terms_digest as "termsDigest",
  v.token_name as "tokenName", v.token_preview as "tokenPreview", v.asker,
  c.title as "contractTitle", c.status as "contractStatus", m.name as "milestoneName", m.status as "milestoneStatus",
  ${sql.raw(FUNDING_TERMS)} as "presentTerms",
  case when p.id is null then null else jsonb_build_object('id', p.id, 'brand', p.brand, 'last4', p.last4,
    'expMonth', p.exp_month, 'expYear', p.exp_year) end as card`;

const TABLES = sql`approvals v
  join accounts a on a.account_id = v.account_id
  join contracts c on c.account_id = v.account_id and c.id = v.contract_id
  join milestones m on m.account_id = v.account_id and m.id = v.milestone_id
  left join payment_methods p on p.account_id = v.account_id and p.is_default`;

/** The approval of that id in any of the accounts. */
export async function findForHuman(
  db: Db,
  accountIds: readonly string[],
  id: string,
): Promise<HumanApprovalRow | undefined> {
  const { rows } = await sql<HumanApprovalRow>`
    select ${COLUMNS} from ${TABLES}
    where v.account_id = any(${accountIds}::uuid[]) and v.id = ${id}`.execute(db);
  return rows[0];
}

/**
 * The approval with everything it depends on held: contract and card against change, milestone and approval
 * for the decision, in the one order of locks (invariant 11). Its `now` is the time of the decision: not before anything
 * that the decision follows.
 */
export async function lockForDecision(
  trx: Trx,
  accountId: string,
  id: string,
): Promise<HumanApprovalRow | undefined> {
  await sql`
    select 1 from contracts c where c.account_id = ${accountId}
      and c.id = (select contract_id from approvals where account_id = ${accountId} and id = ${id}) for share`.execute(
    trx,
  );
  await sql`
    select 1 from milestones m where m.account_id = ${accountId}
      and m.id = (select milestone_id from approvals where account_id = ${accountId} and id = ${id})
    for no key update`.execute(trx);
  await sql`select 1 from approvals where account_id = ${accountId} and id = ${id} for no key update`.execute(
    trx,
  );
  await sql`select 1 from payment_methods where account_id = ${accountId} and is_default for share`.execute(
    trx,
  );
  const row = await findForHuman(trx, [accountId], id);
  return row && { ...row, now: latest(row.now, row.createdAt, await readLastStep(trx, row)) };
}

/** A moment after the last signature and the last step of a payment of this approval: receipts list them in this order. */
async function readLastStep(trx: Trx, { accountId, id }: HumanApprovalRow): Promise<Date | null> {
  const { rows } = await sql<{ after: Date | null }>`
    select greatest(
      (select max(created_at) from signatures where account_id = ${accountId} and approval_id = ${id}),
      (select max(updated_at) from payments where account_id = ${accountId} and approval_id = ${id})
    ) + interval '1 millisecond' as after`.execute(trx);
  return rows[0]?.after ?? null;
}

/** The accounts' approvals, those that wait first, then the newest. */
export async function listForHuman(
  db: Db,
  accountIds: readonly string[],
  limit: number,
): Promise<HumanApprovalRow[]> {
  const { rows } = await sql<HumanApprovalRow>`
    select ${COLUMNS} from ${TABLES}
    where v.account_id = any(${accountIds}::uuid[])
    order by (v.status = 'pending' and (v.executing_at is not null or v.expires_at > now())) desc,
      v.created_at desc, v.id desc
    limit ${limit}`.execute(db);
  return rows;
}

export type Signature = Pick<SignaturesTable, "user_id" | "decision" | "created_at"> & {
  signer: string;
  /** The card that was signed for; null for a decline. */
  source: { brand: string; last4: string } | null;
  /** The payment attempt that the signature was made for; null: none. */
  payment_id: string | null;
};

/** Who decided, by the name that they have in the account; the newest first. */
export async function listSignatures(db: Db, accountId: string, approvalId: string): Promise<Signature[]> {
  const { rows } = await sql<Signature>`
    select s.user_id, s.decision, s.created_at, coalesce(m.name, 'a former member') as signer,
      nullif(s.statement -> 'source', 'null') as source, u.payment_id
    from signatures s
    left join payment_signatures u on u.account_id = s.account_id and u.approval_id = s.approval_id
      and u.statement_digest = s.statement_digest and u.user_id = s.user_id
    left join members m on m.account_id = s.account_id and m.user_id = s.user_id and m.status <> 'removed'
    where s.account_id = ${accountId} and s.approval_id = ${approvalId}
    order by s.created_at desc`.execute(db);
  return rows;
}

/** Whether somebody has signed this very statement. */
export async function hasSignature(
  db: Db,
  accountId: string,
  approvalId: string,
  digest: Buffer,
): Promise<boolean> {
  const row = await db
    .selectFrom("signatures")
    .where("account_id", "=", accountId)
    .where("approval_id", "=", approvalId)
    .where("statement_digest", "=", digest)
    .select("approval_id")
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** One row per approval, statement and user. `false`: this very statement was signed already. */
export async function insertSignature(
  trx: Trx,
  signature: {
    accountId: string;
    approvalId: string;
    digest: Buffer;
    userId: string;
    decision: "confirm" | "decline";
    statement: object;
    proof: Proof;
    signersRequired: 1 | 2;
  },
  now: Date,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("signatures")
    .values({
      account_id: signature.accountId,
      approval_id: signature.approvalId,
      statement_digest: signature.digest,
      user_id: signature.userId,
      decision: signature.decision,
      statement: JSON.stringify(signature.statement),
      proof: JSON.stringify(signature.proof),
      created_at: now,
      signers_required: signature.signersRequired,
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows !== 0n;
}

/** Takes the milestone for this action. `false`: another action is executing on it (invariant 1). */
export async function takeMilestone(
  trx: Trx,
  key: { accountId: string; milestoneId: string; approvalId: string },
  now: Date,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("executing_milestones")
    .values({
      account_id: key.accountId,
      milestone_id: key.milestoneId,
      approval_id: key.approvalId,
      started_at: now,
    })
    .onConflict((conflict) => conflict.columns(["account_id", "milestone_id"]).doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows !== 0n;
}

/** Marks that the approval's payment is under way. `false`: it is no longer pending, or somebody was first. */
export async function beginExecuting(trx: Trx, accountId: string, id: string, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("approvals")
    .set({ executing_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "pending")
    .where("executing_at", "is", null)
    .where("expires_at", ">", now)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** `false`: it is no longer pending, its payment is under way, or its time has passed. */
export async function declinePending(trx: Trx, accountId: string, id: string, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("approvals")
    .set({ status: "declined", resolved_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "pending")
    .where("executing_at", "is", null)
    .where("expires_at", ">", now)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

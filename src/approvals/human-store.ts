import { sql, type UpdateObject } from "kysely";
import { FUNDING_TERMS, RELEASE_TERMS } from "../contracts/service.ts";
import { readClockNow } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type {
  Asker,
  Billing,
  ContractStatus,
  CoSign,
  Database,
  MilestoneStatus,
} from "../database/schema.ts";
import { together } from "../database/transaction.ts";
import type { ApprovalTerms, EndTerms, FundingTerms, ReleaseTerms } from "../lib/statement.ts";
import { latest } from "../lib/time.ts";
import { contractDispute, endTerms, milestoneDispute } from "./held-terms-store.ts";
import type { ApprovalRow } from "./store.ts";

/** The subject of an approval, as of the request. */
type Subject =
  | { type: "milestone_fund"; milestoneId: string; terms: FundingTerms }
  | { type: "milestone_approve"; milestoneId: string; terms: ReleaseTerms }
  | { type: "contract_end"; milestoneId: null; terms: EndTerms };

/** An approval as its page needs it, with the current state of its subject. */
export type HumanApprovalRow = Omit<ApprovalRow, "type" | "milestoneId"> &
  Subject & {
    now: Date;
    accountId: string;
    organizationId: string;
    accountName: string;
    coSign: CoSign;
    /** The lower of the limits at the request and now, in cents; null: one person is enough. */
    secondSignerFromCents: number | null;
    /** The account's own amount from which a confirmation is typed, in cents; null: the operator's. */
    amountTypedFromCents: number | null;
    frozen: boolean;
    paymentsPaused: boolean;
    termsDigest: Buffer;
    tokenName: string;
    tokenPreview: string;
    /** The person behind the token that requested it; null: unknown. */
    asker: Asker | null;
    contractTitle: string;
    contractStatus: ContractStatus;
    milestoneName: string | null;
    /** What they were called at the request; null: not known, or the milestone had no name. */
    contractTitleThen: string | null;
    milestoneNameThen: string | null;
    /** Null for a contract's end. */
    milestoneStatus: MilestoneStatus | null;
    /** The terms as they are now. They equal the approval's, or the approval has ended. */
    presentTerms: ApprovalTerms;
    /** The state of a dispute or refund that keeps held money from moving; null: none. */
    disputeStatus: string | null;
    /** Where the account's fundings are drawn from, and what its credits cover. */
    billing: Billing;
    availableCents: number;
    card: { id: string; brand: string; last4: string; expMonth: number; expYear: number } | null;
  };

const columnsOf = (accountId: string) => sql<HumanApprovalRow>`
  date_trunc('milliseconds', now()) as now, a.account_id as "accountId", a.id as "organizationId", a.name as "accountName",
  a.frozen, a.billing, coalesce((
    select b.available_cents from credit_balances b where b.account_id = ${accountId}), 0)::bigint as "availableCents",
  (select paused from payment_pause) as "paymentsPaused",
  v.id, v.type, v.status, v.contract_id as "contractId", v.milestone_id as "milestoneId", v.job_id as "jobId", v.result,
  v.executing_at is not null as executing, v.created_at as "createdAt", v.expires_at as "expiresAt",
  v.resolved_at as "resolvedAt",
  case when 'passkey' in (v.co_sign, a.co_sign) then 'passkey' else 'session' end as "coSign",
  least(v.second_signer_from_cents, a.second_signer_from_cents) as "secondSignerFromCents",
  a.amount_typed_from_cents as "amountTypedFromCents", v.terms, v.terms_digest as "termsDigest",
  v.token_name as "tokenName", v.token_preview as "tokenPreview", v.asker,
  v.contract_title as "contractTitleThen", v.milestone_name as "milestoneNameThen",
  c.title as "contractTitle", c.status as "contractStatus", m.name as "milestoneName", m.status as "milestoneStatus",
  case v.type when 'milestone_fund' then ${sql.raw(FUNDING_TERMS)} when 'milestone_approve' then ${sql.raw(RELEASE_TERMS)}
    else ${endTerms(accountId)} end as "presentTerms",
  case v.type when 'milestone_approve' then ${milestoneDispute(accountId)}
    when 'contract_end' then ${contractDispute(accountId)} end as "disputeStatus",
  case when p.id is null then null else jsonb_build_object('id', p.id, 'brand', p.brand, 'last4', p.last4,
    'expMonth', p.exp_month, 'expYear', p.exp_year) end as card`;

const TABLES = sql`approvals v
  join accounts a on a.account_id = v.account_id
  join contracts c on c.account_id = v.account_id and c.id = v.contract_id
  left join milestones m on m.account_id = v.account_id and m.id = v.milestone_id
  left join payment_methods p on p.account_id = v.account_id and p.is_default`;

/** The approval with that id in any of the accounts. */
export async function findForHuman(db: Db, accountIds: readonly string[], id: string) {
  const [only, ...others] = accountIds;
  const accountId = others.length === 0 ? only : await findAccountOf(db, accountIds, id);
  if (accountId === undefined) return undefined;
  const { rows } = await sql<HumanApprovalRow>`
    select ${columnsOf(accountId)} from ${TABLES}
    where v.account_id = ${accountId} and v.id = ${id}`.execute(db);
  return rows[0];
}

async function findAccountOf(db: Db, accountIds: readonly string[], id: string): Promise<string | undefined> {
  const found = await db
    .selectFrom("approvals")
    .where("account_id", "=", sql<string>`any(${accountIds}::uuid[])`)
    .where("id", "=", id)
    .select("account_id as accountId")
    .executeTakeFirst();
  return found?.accountId;
}

/**
 * Locks the approval and all that it depends on: contract and card against change; milestones and approval for the
 * decision, in the lock order (invariant 11), in one round trip. The row's `now` is the time of the decision, never
 * earlier than the steps before it; `heldAt` is the time at which all was locked.
 */
export async function lockForDecision(
  trx: Trx,
  accountId: string,
  id: string,
  subject: ApprovalSubject,
): Promise<{ row: HumanApprovalRow; heldAt: Date } | undefined> {
  const { contractId, milestoneId } = subject;
  // An end locks the contract exclusively: no payment begins under it meanwhile.
  const ends = milestoneId === null;
  const [, , , , row, lastStep, heldAt] = await together(
    sql`
      select 1 from contracts where account_id = ${accountId} and id = ${contractId}
      for ${ends ? sql`no key update` : sql`share`}`.execute(trx),
    sql`
      select 1 from milestones where account_id = ${accountId}
        and ${ends ? sql`contract_id = ${contractId}` : sql`id = ${milestoneId}`}
      order by id for no key update`.execute(trx),
    sql`select 1 from approvals where account_id = ${accountId} and id = ${id} for no key update`.execute(
      trx,
    ),
    sql`select 1 from payment_methods where account_id = ${accountId} and is_default for share`.execute(trx),
    findForHuman(trx, [accountId], id),
    readLastStep(trx, { accountId, id }),
    readClockNow(trx),
  );
  return row && { row: { ...row, now: latest(row.now, row.createdAt, lastStep) }, heldAt };
}

/** What an approval is about, which never changes. */
export type ApprovalSubject = { contractId: string; milestoneId: string | null };

export function findSubject(db: Db, accountId: string, id: string): Promise<ApprovalSubject | undefined> {
  return db
    .selectFrom("approvals")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select(["contract_id as contractId", "milestone_id as milestoneId"])
    .executeTakeFirst();
}

/** One millisecond after the approval's last signature or payment step: receipts list them in this order. */
async function readLastStep(
  trx: Trx,
  { accountId, id }: { accountId: string; id: string },
): Promise<Date | null> {
  const { rows } = await sql<{ after: Date | null }>`
    select greatest(
      (select max(created_at) from signatures where account_id = ${accountId} and approval_id = ${id}),
      (select max(updated_at) from payments where account_id = ${accountId} and approval_id = ${id})
    ) + interval '1 millisecond' as after`.execute(trx);
  return rows[0]?.after ?? null;
}

/** How many fundings are pending in the account and could be confirmed now. */
export async function countPendingFundings(db: Db, accountId: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) from approvals where account_id = ${accountId} and type = 'milestone_fund' and status = 'pending'
      and executing_at is null and expires_at > now()`.execute(db);
  return rows[0]?.count ?? 0;
}

/**
 * Locks a milestone for this action, or all of a contract's that hold money or may still receive it. `false`: another
 * action is executing on one of them (invariant 1). An executing end of the contract has locked them all.
 */
export async function takeMilestones(
  trx: Trx,
  accountId: string,
  approvalId: string,
  subject: { milestoneId: string } | { contractId: string },
  now: Date,
): Promise<boolean> {
  const taken =
    "milestoneId" in subject
      ? sql`m.id = ${subject.milestoneId}`
      : sql`m.contract_id = ${subject.contractId} and m.status in ('NOT_FUNDED', 'ACTIVE_FUNDED')`;
  const [wanted, inserted] = await together(
    sql`select m.id from milestones m where m.account_id = ${accountId} and ${taken}`.execute(trx),
    sql`
      insert into executing_milestones (account_id, milestone_id, approval_id, started_at)
      select m.account_id, m.id, ${approvalId}::uuid, ${now}::timestamptz
      from milestones m where m.account_id = ${accountId} and ${taken} order by m.id
      on conflict (account_id, milestone_id) do nothing returning milestone_id`.execute(trx),
  );
  return wanted.rows.length === inserted.rows.length;
}

/** Whether the contract's end is executing. It also blocks milestones that were added since. */
export async function isEnding(trx: Trx, accountId: string, contractId: string): Promise<boolean> {
  const { rows } = await sql`
    select 1 from approvals where account_id = ${accountId} and contract_id = ${contractId} and type = 'contract_end'
      and status = 'pending' and executing_at is not null`.execute(trx);
  return rows.length > 0;
}

/** Marks the approval's payment as under way. `false`: it is no longer pending, or another request was first. */
export function beginExecuting(trx: Trx, accountId: string, id: string, now: Date): Promise<boolean> {
  return updateOpen(trx, accountId, id, { executing_at: now }, now);
}

/** @param note why, for the agent @returns `false`: it is no longer pending, is being paid, or has expired */
export function declinePending(
  trx: Trx,
  accountId: string,
  id: string,
  note: string | undefined,
  now: Date,
): Promise<boolean> {
  const result = note === undefined ? null : JSON.stringify({ note });
  return updateOpen(trx, accountId, id, { status: "declined", result, resolved_at: now }, now);
}

/** Changes an approval that can still be decided. @returns whether it can */
async function updateOpen(
  trx: Trx,
  accountId: string,
  id: string,
  values: UpdateObject<Database, "approvals">,
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("approvals")
    .set(values)
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "pending")
    .where("executing_at", "is", null)
    .where("expires_at", ">", now)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

import { CompiledQuery, type RawBuilder, sql } from "kysely";
import { GRANT_COLUMNS, GRANT_CONDITION, GRANT_TABLES, type Grant } from "../accounts/service.ts";
import { ASKER_COLUMNS } from "../accounts/token-service.ts";
import { FUNDING_TERMS_COLUMNS } from "../contracts/service.ts";
import { readClockNow } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type {
  ApprovalStatus,
  ApprovalType,
  Asker,
  ContractStatus,
  CoSign,
  MilestoneStatus,
} from "../database/schema.ts";
import type { Credential } from "../lib/secrets.ts";
import type { FundingTerms } from "../lib/statement.ts";

/** What an approval looks like in any statement that reads one. */
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

/** Everything that the gates and rules of a fund request need, and what `readFundingTerms` reads; null where there is nothing. */
export type FundingRow = Grant & {
  milestoneId: string | null;
  milestoneStatus: MilestoneStatus;
  milestoneRevision: number;
  contractId: string;
  contractStatus: ContractStatus;
  contractRevision: number;
  jobId: string;
  hasCard: boolean;
  paymentsPaused: boolean;
  askerKind: Asker["kind"];
  askerName: string | null;
  askerNamedItself: boolean;
  approvalId: string | null;
  approvalCreatedAt: Date;
  approvalExpiresAt: Date;
  approvalExecuting: boolean;
};

// One round trip by primary keys, whatever the answer: the token, and with it all that the rules ask.
const READ_FUNDING = `
  select ${GRANT_COLUMNS},
    m.id as "milestoneId", m.status as "milestoneStatus", m.revision as "milestoneRevision",
    c.id as "contractId", c.status as "contractStatus", c.revision as "contractRevision", c.job_id as "jobId",
    ${FUNDING_TERMS_COLUMNS},
    p.id is not null as "hasCard", (select paused from payment_pause) as "paymentsPaused", ${ASKER_COLUMNS},
    v.id as "approvalId", v.created_at as "approvalCreatedAt", v.expires_at as "approvalExpiresAt",
    v.executing_at is not null as "approvalExecuting"
  from ${GRANT_TABLES}
  left join milestones m on m.account_id = $1 and m.id = $3
  left join contracts c on c.account_id = $1 and c.id = m.contract_id
  left join payment_methods p on p.account_id = $1 and p.is_default
  left join approvals v on v.account_id = $1 and v.type = 'milestone_fund' and v.subject_id = $3 and v.status = 'pending'
  where ${GRANT_CONDITION}`;

/**
 * Reads a fund request's row. `undefined`: no such token.
 * @param milestoneId null when what was asked for cannot be an id, so that it is not found
 */
export async function readFunding(
  db: Db,
  credential: Credential,
  milestoneId: string | null,
): Promise<FundingRow | undefined> {
  const query = CompiledQuery.raw(READ_FUNDING, [credential.accountId, credential.digest, milestoneId]);
  return (await db.executeQuery<FundingRow>(query)).rows[0];
}

export type NewApproval = {
  id: string;
  terms: FundingTerms;
  termsDigest: Buffer;
  coSign: CoSign;
  secondSignerFromCents: number | null;
  token: { id: string; name: string; preview: string; rootId: string };
  asker: Asker;
  createdAt: Date;
  expiresAt: Date;
  milestoneRevision: number;
  contractRevision: number;
  /** With so many waiting in the account already, or of the root token, nothing is recorded. */
  waitingBelow: number;
  ofRootBelow: number;
};

// A lapsed one waits for nobody, though no sweep has flipped it yet.
const WAITING = `from approvals o
  where o.account_id = $1 and o.status = 'pending' and (o.expires_at > now() or o.executing_at is not null)`;

// Contract, milestone and card are held FOR SHARE and their state is asked again: whoever cancels, ends or
// changes terms updates those rows first, and then ends the approvals it can see. Without the lock 614 of
// 4,000 cancels in a trial left a live approval behind. A milestone of this revision is still in the contract that
// was read with it; to ask for that again leads Postgres to read all milestones of the contract.
const INSERT_FUNDING = `
  insert into approvals (account_id, id, type, contract_id, milestone_id, job_id, terms, terms_digest, co_sign,
    token_id, token_name, token_preview, root_token_id, created_at, expires_at, notify_at, asker,
    second_signer_from_cents)
  select $1, $2, 'milestone_fund', c.id, m.id, c.job_id, $3, $4, $5, $6, $7, $8, $16, $9, $10, $9, $18::jsonb, $19
  from contracts c
  join milestones m on m.account_id = $1 and m.id = $11
  join payment_methods p on p.account_id = $1 and p.is_default
  where c.account_id = $1 and c.id = $12 and c.status = 'active' and c.revision = $13
    and m.status = 'NOT_FUNDED' and m.revision = $14
    and (select count(*) < $15 and count(*) filter (where o.root_token_id = $16) < $17 ${WAITING})
  for share of c, m, p
  on conflict (account_id, type, subject_id) where status = 'pending' do nothing
  returning id`;

/** Records a pending approval. `false`: something changed meanwhile, another was first, or too many wait. */
export async function insertFundingApproval(
  db: Db,
  accountId: string,
  approval: NewApproval,
): Promise<boolean> {
  const { terms, token } = approval;
  const query = CompiledQuery.raw(INSERT_FUNDING, [
    accountId,
    approval.id,
    JSON.stringify(terms),
    approval.termsDigest,
    approval.coSign,
    token.id,
    token.name,
    token.preview,
    approval.createdAt,
    approval.expiresAt,
    terms.milestoneId,
    terms.contractId,
    approval.contractRevision,
    approval.milestoneRevision,
    approval.waitingBelow,
    token.rootId,
    approval.ofRootBelow,
    JSON.stringify(approval.asker),
    approval.secondSignerFromCents,
  ]);
  return (await db.executeQuery(query)).rows.length === 1;
}

/** Lets the requests of one account that are near its limit go on one at a time, until the transaction ends. */
export async function queueRequests(trx: Trx, accountId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${accountId}, 0))`.execute(trx);
}

const COUNT_WAITING = `
  select count(*) as "all", count(*) filter (where o.root_token_id = $2) as "ofRoot" ${WAITING}`;

/** How many approvals of the account wait for a human, and how many of them the root token and its descendants asked for. */
export async function countWaiting(
  db: Db,
  accountId: string,
  rootTokenId: string,
): Promise<{ all: number; ofRoot: number }> {
  const query = CompiledQuery.raw(COUNT_WAITING, [accountId, rootTokenId]);
  const { rows } = await db.executeQuery<{ all: number; ofRoot: number }>(query);
  return rows[0] ?? { all: 0, ofRoot: 0 };
}

const READ_APPROVAL = `
  select ${GRANT_COLUMNS}, v.id, v.type, v.status, v.contract_id as "contractId", v.milestone_id as "milestoneId",
    v.job_id as "jobId", v.result, v.executing_at is not null as executing, v.created_at as "createdAt",
    v.expires_at as "expiresAt", v.resolved_at as "resolvedAt"
  from ${GRANT_TABLES}
  left join approvals v on v.account_id = $1 and v.id = $3::uuid
  where ${GRANT_CONDITION}`;

export type GrantWithApproval = Grant & Omit<ApprovalRow, "id"> & { id: string | null };

/** Reads an approval along with the token that asks for it. `undefined`: no such token. */
export async function readApproval(
  db: Db,
  credential: Credential,
  approvalId: string | null,
): Promise<GrantWithApproval | undefined> {
  const query = CompiledQuery.raw(READ_APPROVAL, [credential.accountId, credential.digest, approvalId]);
  return (await db.executeQuery<GrantWithApproval>(query)).rows[0];
}

/**
 * Waits for whoever is just deciding an approval to be done. Who decides reads the clock with the approval
 * held: one that had lapsed before this was called, and is still pending after, can no longer be decided.
 */
export async function awaitDecision(db: Db, accountId: string, id: string): Promise<void> {
  await sql`select 1 from approvals where account_id = ${accountId} and id = ${id} for share`.execute(db);
}

export type EndedApproval = { id: string; jobId: string };

/** Flips pending approvals whose time has passed; those whose payment is under way keep their place. */
export async function expireLapsed(
  trx: Trx,
  accountId: string,
  approvalIds: readonly string[],
  now: Date,
): Promise<EndedApproval[]> {
  const { rows } = await sql<EndedApproval>`
    update approvals set status = 'expired', resolved_at = expires_at
    where account_id = ${accountId} and id = any(${approvalIds}::uuid[])
      and status = 'pending' and executing_at is null and expires_at <= ${now}
    returning id, job_id as "jobId"`.execute(trx);
  return rows;
}

/** A milestone's pending approvals, a contract's with all of its milestones', or only the one that would end a contract. */
export type Subject = { milestoneId: string } | { contractId: string } | { endOf: string };

function ofSubject(subject: Subject): RawBuilder<unknown> {
  if ("milestoneId" in subject) return sql`milestone_id = ${subject.milestoneId}`;
  if ("contractId" in subject) return sql`contract_id = ${subject.contractId}`;
  return sql`type = 'contract_end' and subject_id = ${subject.endOf}`;
}

/**
 * Ends the pending approvals of a milestone or of a whole contract because they can no longer execute as they were asked.
 * Whether one has expired by itself is decided with its row held, as a reader who saw it expire waits for that row
 * (`awaitDecision`): what a reader was told never changes. One that was created after the caller read the clock ends when
 * it was created, not before.
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

/** Approvals of any account whose time has passed, the oldest first. */
export function listLapsed(db: Db, now: Date, limit: number) {
  return db
    .selectFrom("approvals")
    .where("status", "=", "pending")
    .where("executing_at", "is", null)
    .where("expires_at", "<=", now)
    .select(["account_id as accountId", "id"])
    .orderBy("expires_at")
    .limit(limit)
    .execute();
}

/** Whether the approval's time has passed, by the database's clock, whatever is under way. */
export async function hasLapsed(db: Db, accountId: string, id: string): Promise<boolean> {
  const row = await db
    .selectFrom("approvals")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("expires_at", "<=", sql<Date>`now()`)
    .select("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Whether one of the people who signed for a payment attempt may no longer decide for the account. */
export async function hasSignerLeft(db: Db, accountId: string, paymentId: string): Promise<boolean> {
  const { rows } = await sql<{ userId: string }>`
    select s.user_id as "userId" from payment_signatures s
    left join members m on m.account_id = s.account_id and m.user_id = s.user_id and m.status = 'active'
      and m.role <> 'viewer'
    where s.account_id = ${accountId} and s.payment_id = ${paymentId} and m.id is null limit 1`.execute(db);
  return rows.length > 0;
}

/** The account's approvals that the person has confirmed and that are still being paid. */
export async function listExecutingOf(db: Db, accountId: string, userId: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select distinct v.id from approvals v
    join signatures s on s.account_id = v.account_id and s.approval_id = v.id and s.decision = 'confirm'
    where v.account_id = ${accountId} and s.account_id = ${accountId} and v.status = 'pending'
      and v.executing_at is not null and s.user_id = ${userId}`.execute(db);
  return rows.map(({ id }) => id);
}

/** Confirms the approval whose action has executed, and frees its milestones. */
export async function confirmExecuted(
  trx: Trx,
  accountId: string,
  id: string,
  result: Record<string, unknown>,
  now: Date,
): Promise<void> {
  await trx
    .updateTable("approvals")
    .set({ status: "confirmed", executing_at: null, result: JSON.stringify(result), resolved_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "pending")
    .where("executing_at", "is not", null)
    .execute();
  await freeMilestones(trx, accountId, id);
}

/** Ends an execution that came to nothing: pending again, or expired if the time has passed meanwhile. */
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

/** Ends an execution that came to a part of what was asked. */
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

import { sql } from "kysely";
import type { Db } from "../../src/database/connection.ts";
import { canonicalDigest } from "../../src/lib/canonical.ts";
import type { FundingTerms } from "../../src/lib/statement.ts";

/**
 * What must hold in the tables while nothing is written, whatever has happened before (docs/design.md, invariants).
 * @returns a line for every row that breaks one
 */
export async function findViolations(db: Db, accountIds: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    [doublePending, deadPending, changedTerms, strangeEnds, wrongEvents, wrongNumbers].map((check) =>
      check(db, accountIds),
    ),
  );
  return found.flat();
}

/** Invariant 1. */
async function doublePending(db: Db, accountIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ subject: string; count: number }>`
    select subject_id as subject, count(*) as count from approvals
    where account_id = any(${accountIds}::uuid[]) and status = 'pending'
    group by account_id, type, subject_id having count(*) > 1`.execute(db);
  return rows.map((row) => `${row.count} approvals pend on ${row.subject}`);
}

async function deadPending(db: Db, accountIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string; milestone: string; contract: string }>`
    select a.id, m.status as milestone, c.status as contract from approvals a
    join milestones m on m.account_id = a.account_id and m.id = a.milestone_id
    join contracts c on c.account_id = a.account_id and c.id = a.contract_id
    where a.account_id = any(${accountIds}::uuid[]) and a.status = 'pending' and a.type = 'milestone_fund'
      and (m.status <> 'NOT_FUNDED' or c.status <> 'active')`.execute(db);
  return rows.map((row) => `${row.id} pends on a ${row.milestone} milestone of an ${row.contract} contract`);
}

/** A signature must be for the current terms. */
async function changedTerms(db: Db, accountIds: readonly string[]): Promise<string[]> {
  type Row = Omit<FundingTerms, "payee"> &
    FundingTerms["payee"] & { id: string; terms: FundingTerms; digest: Buffer };
  const { rows } = await sql<Row>`
    select a.id, a.terms, a.terms_digest as digest, m.amount_cents as "amountCents", m.currency,
      m.id as "milestoneId", m.description, m.contract_id as "contractId", c.job_id as "jobId",
      c.freelancer_user_id as "userId", c.freelancer_name as "displayName", c.payout_account as "payoutAccount"
    from approvals a
    join milestones m on m.account_id = a.account_id and m.id = a.milestone_id
    join contracts c on c.account_id = m.account_id and c.id = m.contract_id
    where a.account_id = any(${accountIds}::uuid[]) and a.status = 'pending'`.execute(db);
  return rows.flatMap(({ id, terms, digest, userId, displayName, payoutAccount, ...rest }) => {
    const present = canonicalDigest({ ...rest, payee: { userId, displayName, payoutAccount } });
    if (!present.equals(digest)) return [`${id} pends on other terms than the present ones`];
    return canonicalDigest(terms).equals(digest) ? [] : [`${id} holds other terms than its digest`];
  });
}

/** An approval ends between its birth and its expiry; only one that ended early says why. */
async function strangeEnds(db: Db, accountIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string; created: Date; resolved: Date; expires: Date; reason: string }>`
    select id, created_at as created, resolved_at as resolved, expires_at as expires, result ->> 'reason' as reason
    from approvals
    where account_id = any(${accountIds}::uuid[]) and status = 'expired'
      and not (resolved_at >= created_at and resolved_at <= expires_at
        and (result is null) = (resolved_at = expires_at))`.execute(db);
  return rows.map(
    (row) =>
      `${row.id} of ${row.created.toISOString()} ended at ${row.resolved.toISOString()}, ` +
      `due ${row.expires.toISOString()}, reason ${row.reason}`,
  );
}

/** Invariant 5: one event for each end, one for each cancelled milestone, none without a cause. */
async function wrongEvents(db: Db, accountIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ said: string }>`
    with told as (
      select account_id, resource_id, data ->> 'status' as status, type, count(*) as count from events
      where account_id = any(${accountIds}::uuid[])
        and (type = 'approval.confirmed' or type = 'milestone.status_changed' and data ->> 'status' = 'CANCELLED')
      group by account_id, resource_id, data ->> 'status', type
    ), happened as (
      select account_id, id::text as resource_id, status, 'approval.confirmed' as type from approvals
      where account_id = any(${accountIds}::uuid[]) and status <> 'pending'
      union all
      select account_id, id, status, 'milestone.status_changed' from milestones
      where account_id = any(${accountIds}::uuid[]) and status = 'CANCELLED'
    )
    select concat(coalesce(h.resource_id, t.resource_id), ' ', coalesce(h.status, t.status), ': happened ',
      (h.resource_id is not null)::integer, ' times, told ', coalesce(t.count, 0), ' times') as said
    from happened h full join told t using (account_id, resource_id, status, type)
    where h.resource_id is null or t.count is distinct from 1`.execute(db);
  return rows.map((row) => row.said);
}

/** Invariant 6: numbered 1, 2, 3 … up to the head. */
async function wrongNumbers(db: Db, accountIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ accountId: string; last: number; count: number; highest: number }>`
    select h.account_id as "accountId", h.last_event as last, count(e.number) as count,
      coalesce(max(e.number), 0) as highest
    from account_heads h left join events e on e.account_id = h.account_id
    where h.account_id = any(${accountIds}::uuid[])
    group by h.account_id, h.last_event
    having count(e.number) <> h.last_event or coalesce(max(e.number), 0) <> h.last_event`.execute(db);
  return rows.map(
    (row) => `account ${row.accountId}: head ${row.last}, ${row.count} events up to ${row.highest}`,
  );
}

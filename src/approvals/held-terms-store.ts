import { type RawBuilder, sql } from "kysely";

/**
 * SQL that reads the held money of a milestone `m` or a contract `c`, for the statements that read an approval or
 * request one. Each subquery names the account, so that in a distributed database the statement goes to one node.
 */
type OfAccount = (accountId: string) => RawBuilder<unknown>;

/** The charge that funded a milestone, and its reversals. */
const chargeOf = (milestone: string, accountId: string) => sql`
  from payments p
  join reversals r on r.account_id = p.account_id and r.payment_id = p.id and r.kind in ('refund', 'dispute')
  where p.account_id = ${accountId} and p.milestone_id = ${sql.ref(`${milestone}.id`)} and p.kind = 'charge'
    and p.status = 'succeeded'`;

/**
 * The terms of the end of `c`: the money of each funded milestone, and where it goes: where it came from, or to the
 * account's credits where a bank has taken back a part, as it takes no refund of such a payment.
 */
export const endTerms: OfAccount = (
  accountId,
) => sql`jsonb_build_object('contractId', c.id, 'jobId', c.job_id, 'refunds', (
  select coalesce(jsonb_agg(jsonb_build_object('milestoneId', f.id, 'currency', f.currency,
    'amountCents', f.amount_cents - coalesce((select sum(r.taken_cents) ${chargeOf("f", accountId)}), 0),
    'to', case when exists (
      select from payments p where p.account_id = ${accountId} and p.milestone_id = f.id and p.kind = 'charge'
        and p.status = 'succeeded'
    ) and not exists (
      select ${chargeOf("f", accountId)} and r.kind = 'dispute' and r.final and r.taken_cents > 0
    ) then 'card' else 'credits' end) order by f.number), '[]')
  from milestones f
  where f.account_id = ${accountId} and f.contract_id = c.id and f.status = 'ACTIVE_FUNDED'))`;

/** What keeps a milestone's held credits from being released: a disputed top-up, or a balance below zero. */
const creditsOf = (milestone: string, accountId: string) => sql`
  from credit_entries h
  join credit_balances b on b.account_id = h.account_id
  left join lateral (
    select r.status from reversals r
    where r.account_id = ${accountId} and not r.final and (r.top_up_id is not null or exists (
      select from payments p
      join credit_entries x on x.account_id = p.account_id and x.milestone_id = p.milestone_id and x.type = 'REFUND'
      where p.account_id = ${accountId} and p.id = r.payment_id
    )) limit 1
  ) d on true
  where h.account_id = ${accountId} and h.milestone_id = ${sql.ref(`${milestone}.id`)} and h.type = 'HOLD'
    and (d.status is not null or b.available_cents < 0)`;

/**
 * What keeps the money of `m` from being released: the state of a dispute or refund of its charge that is open or has
 * taken a part, or of a top-up's dispute, or `credits_below_zero`.
 */
export const milestoneDispute: OfAccount = (accountId) => sql`coalesce((
  select r.status ${chargeOf("m", accountId)} and (not r.final or r.taken_cents > 0)
  order by r.final, r.created_at limit 1
), (select coalesce(d.status, 'credits_below_zero') ${creditsOf("m", accountId)}))`;

/** The state of an open dispute about the charge that funded `m`. */
export const openDispute: OfAccount = (accountId) =>
  sql`(select r.status ${chargeOf("m", accountId)} and not r.final limit 1)`;

/** The state of an open dispute about money held under `c`. Until it is decided, the amount that is left is unknown. */
export const contractDispute: OfAccount = (accountId) => sql`(
  select d.status from milestones f
  cross join lateral (select r.status ${chargeOf("f", accountId)} and not r.final limit 1) d
  where f.account_id = ${accountId} and f.contract_id = c.id and f.status = 'ACTIVE_FUNDED' limit 1)`;

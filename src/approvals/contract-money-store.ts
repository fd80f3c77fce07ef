import { type RawBuilder, sql } from "kysely";
import type { Db } from "../database/connection.ts";
import { isDistributed } from "../database/distribution.ts";
import type {
  ApprovalStatus,
  ApprovalType,
  Asker,
  ContractStatus,
  MilestoneStatus,
} from "../database/schema.ts";
import { contractDispute, milestoneDispute } from "./held-terms-store.ts";

/** Approvals that a person can still decide, or whose money is moving. */
const PENDING = sql`v.status = 'pending' and (v.expires_at > now() or v.executing_at is not null)`;

/** What the milestones of the contract `c` sum up to: all that are not cancelled, held in escrow, and paid out. */
export const contractSums = (accountId: string | RawBuilder<unknown>) => sql`
  select coalesce(sum(m.amount_cents) filter (where m.status <> 'CANCELLED'), 0)::bigint as "totalCents",
    coalesce(sum(m.amount_cents) filter (where m.status = 'ACTIVE_FUNDED'), 0)::bigint as "heldCents",
    coalesce(sum(m.amount_cents) filter (where m.status = 'PAID'), 0)::bigint as "paidOutCents"
  from milestones m where m.account_id = ${accountId} and m.contract_id = c.id`;

/** A contract in the list for people; amounts in cents. */
export type ContractSummary = {
  accountId: string;
  accountName: string;
  id: string;
  title: string;
  payee: string;
  status: ContractStatus;
  createdAt: Date;
  currency: string;
  /** Of all milestones that are not cancelled. */
  totalCents: number;
  heldCents: number;
  paidOutCents: number;
  pendingApprovals: number;
};

type ContractsPage = { after: { accountId: string; id: string } | undefined; limit: number };

/** The accounts' contracts after one of them, newest first. */
export async function listContracts(
  db: Db,
  accountIds: readonly string[],
  page: ContractsPage,
): Promise<ContractSummary[]> {
  const [only, ...others] = accountIds;
  if (only !== undefined && others.length === 0)
    return readContracts(db, newestOf(sql`${only}`, page), sql`${only}`);
  if (isDistributed(db)) {
    const lists = await Promise.all(accountIds.map((id) => listContracts(db, [id], page)));
    return lists.flat().sort(newestFirst).slice(0, page.limit);
  }
  const newest = sql`select c.* from unnest(${accountIds}::uuid[]) as of (account_id)
    cross join lateral (${newestOf(sql`of.account_id`, page)}) c
    order by c.created_at desc, c.account_id desc, c.id desc limit ${page.limit}`;
  return readContracts(db, newest, sql`c.account_id`);
}

function newestOf(account: RawBuilder<unknown>, { after, limit }: ContractsPage): RawBuilder<unknown> {
  const beyond =
    after === undefined
      ? sql`true`
      : sql`c.created_at <= (select created_at from contracts where account_id = ${after.accountId} and id = ${after.id})
          and (c.created_at, c.account_id, c.id) < (
            select o.created_at, o.account_id, o.id from contracts o
            where o.account_id = ${after.accountId} and o.id = ${after.id})`;
  return sql`select * from contracts c where c.account_id = ${account} and ${beyond}
    order by c.created_at desc, c.id desc limit ${limit}`;
}

/** @param account what each subquery names the account by */
async function readContracts(
  db: Db,
  newest: RawBuilder<unknown>,
  account: RawBuilder<unknown>,
): Promise<ContractSummary[]> {
  const { rows } = await sql<ContractSummary>`
    select a.account_id as "accountId", a.name as "accountName", c.id, c.title, c.freelancer_name as payee, c.status,
      c.created_at as "createdAt", 'usd' as currency, s.*, (
        select count(*) from approvals v
        where v.account_id = ${account} and v.contract_id = c.id and ${PENDING}
      ) as "pendingApprovals"
    from (${newest}) c
    join accounts a on a.account_id = c.account_id
    cross join lateral (${contractSums(account)}) s
    order by c.created_at desc, c.account_id desc, c.id desc`.execute(db);
  return rows;
}

function newestFirst(a: ContractSummary, b: ContractSummary): number {
  const order = b.createdAt.getTime() - a.createdAt.getTime();
  if (order !== 0) return order;
  return `${a.accountId} ${a.id}` < `${b.accountId} ${b.id}` ? 1 : -1;
}

/** A contract on its page. */
export type ContractHead = {
  accountId: string;
  accountName: string;
  frozen: boolean;
  paymentsPaused: boolean;
  id: string;
  title: string;
  jobId: string;
  status: ContractStatus;
  createdAt: Date;
  endedAt: Date | null;
  payee: { userId: string; name: string; country: string | null; payoutAccount: string | null };
  /** The card that pays for fundings; null: none is on file. */
  card: { brand: string; last4: string } | null;
  /** The state of an open dispute about money that is held; null: there is none. */
  disputeStatus: string | null;
  /** The pending approval of its end. */
  ending: PendingApproval | null;
};

export type PendingApproval = { id: string; type: ApprovalType; executing: boolean };

/** The contract of that id in the first of the accounts that has one. */
export async function findContract(db: Db, accountIds: readonly string[], id: string) {
  const [only, ...others] = accountIds;
  const accountId = others.length === 0 ? only : await findAccountOf(db, accountIds, id);
  if (accountId === undefined) return undefined;
  const { rows } = await sql<ContractHead>`
    select a.account_id as "accountId", a.name as "accountName", a.frozen,
      (select paused from payment_pause) as "paymentsPaused", c.id, c.title, c.job_id as "jobId", c.status,
      c.created_at as "createdAt", c.ended_at as "endedAt",
      jsonb_build_object('userId', c.freelancer_user_id, 'name', c.freelancer_name, 'country', c.freelancer_country,
        'payoutAccount', c.payout_account) as payee,
      case when p.id is null then null else jsonb_build_object('brand', p.brand, 'last4', p.last4) end as card,
      ${contractDispute(accountId)} as "disputeStatus",
      (select jsonb_build_object('id', v.id, 'type', v.type, 'executing', v.executing_at is not null) from approvals v
        where v.account_id = ${accountId} and v.type = 'contract_end' and v.subject_id = c.id and ${PENDING}) as ending
    from contracts c
    join accounts a on a.account_id = c.account_id
    left join payment_methods p on p.account_id = c.account_id and p.is_default
    where c.account_id = ${accountId} and c.id = ${id}`.execute(db);
  return rows[0];
}

async function findAccountOf(db: Db, accountIds: readonly string[], id: string): Promise<string | undefined> {
  const { rows } = await sql<{ accountId: string }>`
    select account_id as "accountId" from contracts where account_id = any(${accountIds}::uuid[]) and id = ${id}
    order by array_position(${accountIds}::uuid[], account_id) limit 1`.execute(db);
  return rows[0]?.accountId;
}

/** A milestone and where its money is. Amounts in cents. */
export type MilestoneMoney = {
  id: string;
  number: number;
  name: string | null;
  /** The beginning of the description. */
  description: string;
  amountCents: number;
  currency: string;
  dueAt: Date | null;
  status: MilestoneStatus;
  /** The card that funded it; null: credits did, or nothing has. */
  card: { brand: string; last4: string } | null;
  fundedAt: Date | null;
  paidOutAt: Date | null;
  refund: { to: "card" | "credits"; amountCents: number } | null;
  /** The state of a dispute or refund that keeps its money from being released; null: none does. */
  disputeStatus: string | null;
  pending: PendingApproval | null;
};

const DESCRIPTION_SHOWN = 300;

/** The contract's milestones in their order, cancelled and refunded ones too. */
export async function listMilestones(db: Db, accountId: string, contractId: string, limit: number) {
  const { rows } = await sql<MilestoneMoney>`
    select m.id, m.number, m.name, left(m.description, ${DESCRIPTION_SHOWN}) as description,
      m.amount_cents as "amountCents", m.currency, m.due_at as "dueAt", m.status,
      case when k.id is null then null else jsonb_build_object('brand', k.brand, 'last4', k.last4) end as card,
      i.created_at as "fundedAt", o.resolved_at as "paidOutAt",
      case when r.milestone_id is null then null
        else jsonb_build_object('to', r.sent_to, 'amountCents', r.amount_cents) end as refund,
      ${milestoneDispute(accountId)} as "disputeStatus", w.pending
    from milestones m
    left join lateral (
      select p.card_id from payments p where p.account_id = ${accountId} and p.milestone_id = m.id
        and p.kind = 'charge' and p.status = 'succeeded' order by p.resolved_at desc limit 1
    ) f on true
    left join payment_methods k on k.account_id = m.account_id and k.id = f.card_id
    left join lateral (
      select n.created_at from invoices n where n.account_id = ${accountId} and n.milestone_id = m.id
        and n.kind = 'FUNDING' and n.status in ('paid', 'refunded') order by n.created_at desc limit 1
    ) i on true
    left join lateral (
      select p.resolved_at from payments p where p.account_id = ${accountId} and p.milestone_id = m.id
        and p.kind = 'payout' and p.status = 'succeeded' order by p.resolved_at desc limit 1
    ) o on true
    left join refunds r on r.account_id = m.account_id and r.milestone_id = m.id
    left join lateral (
      select jsonb_build_object('id', v.id, 'type', v.type, 'executing', v.executing_at is not null) as pending
      from approvals v where v.account_id = ${accountId} and v.subject_id = m.id
        and v.type in ('milestone_fund', 'milestone_approve') and ${PENDING}
      order by v.executing_at is null, v.created_at desc limit 1
    ) w on true
    where m.account_id = ${accountId} and m.contract_id = ${contractId}
    order by m.number limit ${limit}`.execute(db);
  return rows;
}

/** An approval in a contract's history. */
export type PastApproval = {
  id: string;
  type: ApprovalType;
  status: ApprovalStatus;
  executing: boolean;
  /** Its time has passed, even if no sweep has flipped it yet. */
  expired: boolean;
  milestone: { number: number; name: string | null } | null;
  amountCents: number;
  currency: string;
  tokenName: string;
  asker: Asker | null;
  /** The names of the people who decided. */
  signers: string[];
  result: Record<string, unknown> | null;
  createdAt: Date;
  resolvedAt: Date | null;
};

/** The contract's approvals, newest first. Ids sort by creation. */
export async function listApprovals(db: Db, accountId: string, contractId: string, limit: number) {
  const { rows } = await sql<PastApproval>`
    select v.id, v.type, v.status, v.executing_at is not null as executing,
      v.status = 'pending' and v.executing_at is null and v.expires_at <= now() as expired,
      case when m.id is null then null else jsonb_build_object('number', m.number, 'name', m.name) end as milestone,
      coalesce((v.terms ->> 'amountCents')::bigint,
        (select sum((r ->> 'amountCents')::bigint) from jsonb_array_elements(v.terms -> 'refunds') r), 0)::bigint
        as "amountCents",
      coalesce(v.terms ->> 'currency', 'usd') as currency, v.token_name as "tokenName", v.asker,
      array(
        select coalesce(max(u.name), 'a former member') from signatures s
        left join members u on u.account_id = s.account_id and u.user_id = s.user_id and u.status <> 'removed'
        where s.account_id = ${accountId} and s.approval_id = v.id group by s.user_id order by min(s.created_at)
      ) as signers,
      v.result, v.created_at as "createdAt", v.resolved_at as "resolvedAt"
    from (
      (select * from approvals where account_id = ${accountId} and contract_id = ${contractId} and status <> 'pending'
        order by id desc limit ${limit})
      union all
      select * from approvals where account_id = ${accountId} and contract_id = ${contractId} and status = 'pending'
    ) v
    left join milestones m on m.account_id = v.account_id and m.id = v.milestone_id
    order by v.id desc limit ${limit}`.execute(db);
  return rows;
}

/** What the account has paid to a payee and holds for them. Amounts in cents. */
export type PayeeHistory = {
  paidOut: number;
  paidOutCents: number;
  /** When the first of them was paid out. */
  since: Date | null;
  held: number;
  heldCents: number;
};

/** @param userId of the payee, under any of the account's contracts */
export async function readPayeeHistory(db: Db, accountId: string, userId: string): Promise<PayeeHistory> {
  const { rows } = await sql<PayeeHistory>`
    select count(*) filter (where m.status = 'PAID') as "paidOut",
      coalesce(sum(m.amount_cents) filter (where m.status = 'PAID'), 0)::bigint as "paidOutCents",
      min(o.resolved_at) filter (where m.status = 'PAID') as since,
      count(*) filter (where m.status = 'ACTIVE_FUNDED') as held,
      coalesce(sum(m.amount_cents) filter (where m.status = 'ACTIVE_FUNDED'), 0)::bigint as "heldCents"
    from contracts c
    join milestones m on m.account_id = c.account_id and m.contract_id = c.id
    left join lateral (
      select max(p.resolved_at) as resolved_at from payments p where p.account_id = ${accountId}
        and p.milestone_id = m.id and p.kind = 'payout' and p.status = 'succeeded'
    ) o on true
    where c.account_id = ${accountId} and c.freelancer_user_id = ${userId}`.execute(db);
  const [history] = rows;
  if (history === undefined) throw new TypeError("an aggregate returns a row");
  return history;
}

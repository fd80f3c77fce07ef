import { type RawBuilder, sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { ApprovalStatus, ApprovalType, Asker } from "../database/schema.ts";

/** An approval in the inbox. */
export type InboxRow = {
  now: Date;
  accountId: string;
  accountName: string;
  id: string;
  type: ApprovalType;
  status: ApprovalStatus;
  executing: boolean;
  createdAt: Date;
  expiresAt: Date;
  resolvedAt: Date | null;
  result: Record<string, unknown> | null;
  amountCents: number;
  currency: string;
  /** Null for a contract's end. */
  payee: string | null;
  contractTitle: string;
  milestoneName: string | null;
  tokenName: string;
  asker: Asker | null;
  /** Whether it is pending and one person has confirmed it: a second person may have to. */
  signed: boolean;
};

/** What is looked for; what is absent is not. */
export type InboxFilter = {
  payee?: string | undefined;
  /** The name of the token that asked. */
  agent?: string | undefined;
  /** A part of a name, a title, an amount or an id. */
  text?: string | undefined;
};

/** Where a list of pending approvals goes on. */
export type PendingPoint = { expiresAt: Date; id: string };

const AMOUNT = sql`coalesce((v.terms ->> 'amountCents')::bigint,
    (select sum((r ->> 'amountCents')::bigint) from jsonb_array_elements(v.terms -> 'refunds') r), 0)::bigint`;
const PAYEE = sql`v.terms -> 'payee' ->> 'displayName'`;
/** It can still be decided, or its money is moving. */
const OPEN = sql`(v.status = 'pending' and (v.executing_at is not null or v.expires_at > now()))`;

/** Which of the accounts: by itself if it is one alone, so that in a distributed database the statement goes to one node. */
const isOf = (column: string, accountIds: readonly string[]) => {
  const [only, ...others] = accountIds;
  return only !== undefined && others.length === 0
    ? sql`${sql.ref(column)} = ${only}`
    : sql`${sql.ref(column)} = any(${accountIds}::uuid[])`;
};

const columnsOf = (accountIds: readonly string[]) => sql`
  date_trunc('milliseconds', now()) as now, v.account_id as "accountId", a.name as "accountName", v.id, v.type, v.status,
  v.executing_at is not null as executing, v.created_at as "createdAt", v.expires_at as "expiresAt",
  v.resolved_at as "resolvedAt", v.result, ${AMOUNT} as "amountCents",
  coalesce(v.terms ->> 'currency', v.terms -> 'refunds' -> 0 ->> 'currency', 'usd') as currency, ${PAYEE} as payee,
  c.title as "contractTitle", m.name as "milestoneName", v.token_name as "tokenName", v.asker,
  v.status = 'pending' and exists (
    select from signatures s
    where s.account_id = v.account_id and ${isOf("s.account_id", accountIds)} and s.approval_id = v.id and s.decision = 'confirm'
  ) as signed`;

// Looked up by key, row by row: a join might read all contracts for a page of approvals.
const namesOf = (accountIds: readonly string[]) => {
  const own = sql`o.account_id = v.account_id and ${isOf("o.account_id", accountIds)}`;
  return sql`
    cross join lateral (select o.name from accounts o where ${own} limit 1) a
    cross join lateral (select o.title from contracts o where ${own} and o.id = v.contract_id limit 1) c
    left join lateral (select o.name from milestones o where ${own} and o.id = v.milestone_id limit 1) m on true`;
};

function matches({ payee, agent, text }: InboxFilter): RawBuilder<unknown> {
  const texts = sql`lower(concat_ws(' ', ${PAYEE}, v.token_name, c.title, m.name, v.id, v.contract_id, v.milestone_id,
    to_char(${AMOUNT} / 100.0, 'FM99999999990.00')))`;
  return sql`${payee === undefined ? sql`true` : sql`${PAYEE} = ${payee}`}
    and ${agent === undefined ? sql`true` : sql`v.token_name = ${agent}`}
    and ${text === undefined ? sql`true` : sql`strpos(${texts}, lower(${text})) > 0`}`;
}

/** The accounts' pending approvals, the first to expire first. An account has about a hundred at most. */
export async function listPending(
  db: Db,
  accountIds: readonly string[],
  filter: InboxFilter,
  { after, limit }: { after: PendingPoint | undefined; limit: number },
): Promise<InboxRow[]> {
  const beyond =
    after === undefined ? sql`true` : sql`(v.expires_at, v.id) > (${after.expiresAt}, ${after.id}::uuid)`;
  const { rows } = await sql<InboxRow>`
    select ${columnsOf(accountIds)} from approvals v ${namesOf(accountIds)}
    where ${isOf("v.account_id", accountIds)} and ${OPEN} and ${beyond} and ${matches(filter)}
    order by v.expires_at, v.id limit ${limit}`.execute(db);
  return rows;
}

/** How many there are of them, and how much money they are about. */
export async function sumPending(
  db: Db,
  accountIds: readonly string[],
  filter: InboxFilter,
): Promise<{ count: number; amountCents: number }> {
  const { rows } = await sql<{ count: number; amountCents: number }>`
    select count(*) as count, coalesce(sum(${AMOUNT}), 0)::bigint as "amountCents" from approvals v ${namesOf(accountIds)}
    where ${isOf("v.account_id", accountIds)} and ${OPEN} and ${matches(filter)}`.execute(db);
  return rows[0] ?? { count: 0, amountCents: 0 };
}

/**
 * The id down to which `window` approvals of the account are, going back from `before`: a search looks at so many at a
 * time. Null: that is all there are.
 */
export async function findEdge(
  db: Db,
  accountId: string,
  before: string | undefined,
  window: number,
): Promise<string | null> {
  const { rows } = await sql<{ id: string }>`
    select v.id from approvals v where v.account_id = ${accountId} and ${isBefore(before)}
    order by v.id desc offset ${window} limit 1`.execute(db);
  return rows[0]?.id ?? null;
}

/**
 * The account's approvals that have ended, the newest request first: their ids are in the order of their creation.
 * @param range.edge the oldest id to look at
 * @param range.window how many to look at; `limit` of them are returned at most
 */
export async function listEnded(
  db: Db,
  accountId: string,
  filter: InboxFilter & { status?: ApprovalStatus | undefined },
  range: { before: string | undefined; edge: string | null; window: number; limit: number },
): Promise<InboxRow[]> {
  const { status } = filter;
  const { before, edge, window, limit } = range;
  const wanted =
    status === undefined
      ? sql`true`
      : status === "expired"
        ? sql`v.status in ('expired', 'pending')`
        : sql`v.status = ${status}`;
  const { rows } = await sql<InboxRow>`
    select ${columnsOf([accountId])} from (
      select * from approvals v
      where v.account_id = ${accountId} and not ${OPEN} and ${isBefore(before)}
        and ${edge === null ? sql`true` : sql`v.id >= ${edge}::uuid`}
      order by v.id desc limit ${window}
    ) v ${namesOf([accountId])}
    where ${wanted} and ${matches(filter)}
    order by v.id desc limit ${limit}`.execute(db);
  return rows;
}

/** Whom the account's newest approvals are for, and who asked for them: what the inbox offers to filter by. */
export async function listNames(
  db: Db,
  accountId: string,
  newest: number,
): Promise<{ payees: string[]; agents: string[] }> {
  const { rows } = await sql<{ payees: string[] | null; agents: string[] | null }>`
    select array_agg(distinct x.payee) filter (where x.payee is not null) as payees, array_agg(distinct x.agent) as agents
    from (
      select ${PAYEE} as payee, v.token_name as agent from approvals v where v.account_id = ${accountId}
      order by v.id desc limit ${newest}
    ) x`.execute(db);
  return { payees: rows[0]?.payees ?? [], agents: rows[0]?.agents ?? [] };
}

function isBefore(id: string | undefined): RawBuilder<unknown> {
  return id === undefined ? sql`true` : sql`v.id < ${id}::uuid`;
}

import { sql } from "kysely";
import { ROLES } from "../accounts/roles.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { ApprovalType, Asker, Terms } from "../database/schema.ts";

/** Accounts with a pending approval whose mail is due, with those approvals. */
export async function listDueMails(db: Db, now: Date, limit: number) {
  const { rows } = await sql<{ accountId: string; ids: string[] }>`
    select account_id as "accountId", array_agg(id) as ids from (
      select account_id, id from approvals
      where status = 'pending' and notify_at is not null and notify_at <= ${now}
      order by notify_at limit ${limit}
    ) due group by account_id`.execute(db);
  return rows;
}

export type MailableMember = { id: string; email: string; name: string; mailedAt: Date | null };

/** Members who may decide, locked, so that two sweeps do not mail them twice. */
export function lockDeciders(trx: Trx, accountId: string): Promise<MailableMember[]> {
  return trx
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("status", "=", "active")
    .where("role", "in", ROLES.decide)
    .select(["id", "email", "name", "mailed_at as mailedAt"])
    .orderBy("id")
    .forNoKeyUpdate()
    .execute();
}

export async function markMailed(
  trx: Trx,
  accountId: string,
  memberIds: readonly string[],
  now: Date,
): Promise<void> {
  await trx
    .updateTable("members")
    .set({ mailed_at: now })
    .where("account_id", "=", accountId)
    .where("id", "in", [...memberIds])
    .execute();
}

export type WaitingApproval = {
  id: string;
  type: ApprovalType;
  contractId: string;
  milestoneId: string | null;
  jobId: string;
  announced: boolean;
  tokenName: string;
  asker: Asker | null;
  terms: Terms;
  createdAt: Date;
  expiresAt: Date;
  /** After a decline of the same milestone: shown but not mailed until then. Null: mailed. */
  quietUntil: Date | null;
};

/** The account's pending approvals, oldest first. */
export async function listWaiting(trx: Trx, accountId: string, now: Date): Promise<WaitingApproval[]> {
  // After a decline, the next two requests for the milestone are not mailed for 24 h (docs/contract.md §1).
  // By the account's own index alone: with more conditions Postgres may read what is due in all accounts.
  const { rows } = await sql<WaitingApproval>`
    with pending as materialized (
      select * from approvals where account_id = ${accountId} and status = 'pending'
    )
    select v.id, v.type, v.contract_id as "contractId", v.milestone_id as "milestoneId", v.job_id as "jobId",
      v.announced_at is not null as announced, v.token_name as "tokenName", v.asker, v.terms, v.created_at as "createdAt", v.expires_at as "expiresAt",
      case when d.resolved_at is not null and (
        select count(*) from approvals o
        where o.account_id = ${accountId} and o.subject_id = v.subject_id and o.type = v.type and o.status <> 'pending'
          and o.created_at > d.resolved_at and o.created_at <= v.created_at
      ) < 2 then d.resolved_at + interval '24 hours' end as "quietUntil"
    from pending v
    left join lateral (
      select max(o.resolved_at) as resolved_at from approvals o
      where o.account_id = ${accountId} and o.type = v.type and o.subject_id = v.subject_id
        and o.status = 'declined' and o.resolved_at > v.created_at - interval '24 hours'
        and o.resolved_at <= v.created_at
    ) d on true
    where v.executing_at is null and v.expires_at > ${now}
    order by v.created_at, v.id`.execute(trx);
  return rows;
}

/** Records that the operator's feed has the events of these requests. */
export async function markAnnounced(trx: Trx, accountId: string, ids: readonly string[], now: Date) {
  const { rows } = await sql<RequestedApproval>`
    update approvals set announced_at = ${now}
    where account_id = ${accountId} and id = any(${ids}::uuid[]) and status = 'pending' and announced_at is null
    returning id, type, contract_id as "contractId", milestone_id as "milestoneId", job_id as "jobId", terms`.execute(
    trx,
  );
  return rows;
}

export type RequestedApproval = Pick<
  WaitingApproval,
  "id" | "type" | "contractId" | "milestoneId" | "jobId" | "terms"
>;

/** Sets when the approvals are next due for mail; null: never. */
export async function setNotifyAt(
  db: Db,
  accountId: string,
  ids: readonly string[],
  at: Date | null,
): Promise<void> {
  await sql`
    update approvals set notify_at = ${at}
    where account_id = ${accountId} and id = any(${ids}::uuid[]) and status = 'pending'`.execute(db);
}

/** An approval whose outcome is mailed. */
export type MailedApproval = {
  type: ApprovalType;
  terms: Terms;
  accountName: string;
  /** The contract's payee now. */
  payee: string;
  contractTitle: string;
  /** Who has confirmed it last, by their names in the account. */
  signers: { name: string; email: string; of: number }[];
  /** The addresses of the owners and approvers. */
  recipients: string[];
};

export async function readMailed(trx: Trx, accountId: string, id: string): Promise<MailedApproval> {
  const { rows } = await sql<MailedApproval>`
    select v.type, v.terms, a.name as "accountName", c.freelancer_name as payee, c.title as "contractTitle",
      (select coalesce(jsonb_agg(jsonb_build_object('name', s.name, 'email', s.email, 'of', s.of) order by s.at desc), '[]') from (
        select m.name, m.email, max(s.created_at) as at, max(s.signers_required) as of from signatures s
        join members m on m.account_id = s.account_id and m.user_id = s.user_id and m.status <> 'removed'
        where s.account_id = ${accountId} and s.approval_id = v.id and s.decision = 'confirm'
        group by m.name, m.email order by at desc limit 2
      ) s) as signers,
      array(select m.email from members m where m.account_id = ${accountId} and m.status = 'active'
        and m.role = any(${ROLES.decide}) order by m.id) as recipients
    from approvals v
    join accounts a on a.account_id = v.account_id
    join contracts c on c.account_id = v.account_id and c.id = v.contract_id
    where v.account_id = ${accountId} and v.id = ${id}`.execute(trx);
  const [row] = rows;
  if (row === undefined) throw new TypeError("an approval whose money moved is there");
  // Those who signed a statement that was refused before signed for another attempt.
  return { ...row, signers: row.signers.slice(0, row.signers[0]?.of).reverse() };
}

import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";

// Rows that refer to a token keep it; a test compares this list with the foreign keys. Approvals keep a copy of their
// token's name. Descendants ended with the token, and are deleted first.
// `offset 0`: looked up for each token, as Postgres would else read whole tables to join them.
const UNUSED = sql`not exists (select from tokens c where c.account_id = t.account_id and c.minted_by = t.id offset 0)
  and not exists (select from idempotency_keys k where k.account_id = t.account_id and k.token_id = t.id offset 0)
  and not exists (select from webhooks w where w.account_id = t.account_id and w.token_id = t.id offset 0)
  and not exists (select from agent_registrations r where r.account_id = t.account_id and r.token_id = t.id offset 0)`;

/** Accounts with tokens that ended before then and that nothing refers to. */
export async function listAccountsWithEndedTokens(db: Db, before: Date, limit: number): Promise<string[]> {
  const { rows } = await sql<{ accountId: string }>`
    select distinct account_id as "accountId" from (
      select t.account_id from tokens t
      where least(t.revoked_at, t.expires_at) < ${before} and ${UNUSED}
      order by least(t.revoked_at, t.expires_at) limit ${limit}
    ) oldest`.execute(db);
  return rows.map(({ accountId }) => accountId);
}

/** @returns how many, `limit` at most */
export async function deleteEndedTokens(
  trx: Trx,
  accountId: string,
  before: Date,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from tokens where account_id = ${accountId} and id = any(array(
      select t.id from tokens t
      where t.account_id = ${accountId} and least(t.revoked_at, t.expires_at) < ${before} and ${UNUSED}
      limit ${limit}
    ))`.execute(trx);
  return Number(numAffectedRows ?? 0n);
}

/** Accounts with invitations that were used or expired before then. */
export async function listAccountsWithOldInvitations(db: Db, before: Date, limit: number): Promise<string[]> {
  const { rows } = await sql<{ accountId: string }>`
    select distinct account_id as "accountId" from (
      select account_id from invitations where least(used_at, expires_at) < ${before}
      order by least(used_at, expires_at) limit ${limit}
    ) oldest`.execute(db);
  return rows.map(({ accountId }) => accountId);
}

/** @returns how many */
export async function deleteOldInvitations(trx: Trx, accountId: string, before: Date): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from invitations where account_id = ${accountId} and least(used_at, expires_at) < ${before}`.execute(
    trx,
  );
  return Number(numAffectedRows ?? 0n);
}

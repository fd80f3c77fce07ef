import { sql } from "kysely";
import { ROLES } from "../accounts/roles.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { CoSign } from "../database/schema.ts";
import type { Statement } from "../lib/statement.ts";

/** A valid confirmation that needs a second person's. */
export type FirstSignature = { userId: string; name: string; digest: Buffer; signedAt: Date };

/** What the account has confirmed and paid within 24 hours, and what is being paid, in cents. */
export async function sumPaidLately(db: Db, accountId: string): Promise<number> {
  const { rows } = await sql<{ cents: number }>`
    select (
      (select coalesce(sum(amount_cents), 0) from payments
        where account_id = ${accountId} and status <> 'refused'
          and (resolved_at is null or resolved_at > now() - interval '24 hours'))
      + (select coalesce(sum(abs(amount_cents)), 0) from credit_entries
        where account_id = ${accountId} and type in ('HOLD', 'HOLD_RELEASE') and created_at > now() - interval '24 hours')
    )::bigint as cents`.execute(db);
  return rows[0]?.cents ?? 0;
}

/**
 * The oldest confirmation of this statement, with any nonce, by a person who may still decide. Confirmations before
 * the last payment attempt do not count: after a declined card, both people sign again. Nor do confirmations by
 * password once passkeys are required.
 */
export async function findFirstSignature(
  db: Db,
  accountId: string,
  approvalId: string,
  statement: Statement,
  coSign: CoSign,
): Promise<FirstSignature | undefined> {
  const { rows } = await sql<FirstSignature>`
    select s.user_id as "userId", m.name, s.statement_digest as digest, s.created_at as "signedAt"
    from signatures s
    join members m on m.account_id = s.account_id and m.user_id = s.user_id and m.status = 'active' and m.role = any(${ROLES.decide})
    where s.account_id = ${accountId} and s.approval_id = ${approvalId} and s.decision = 'confirm'
      and (${coSign} = 'session' or s.proof ->> 'kind' = 'passkey')
      and s.statement - 'nonce' = ${JSON.stringify(statement)}::jsonb - 'nonce'
      and not exists (
        select from payments p
        where p.account_id = s.account_id and p.approval_id = s.approval_id and p.created_at >= s.created_at
      )
    order by s.created_at, s.statement_digest limit 1`.execute(db);
  return rows[0];
}

/** Records the signatures of a payment attempt. A signature is valid for one attempt a milestone. */
export async function insertPaymentSignatures(
  trx: Trx,
  payment: { accountId: string; id: string; approvalId: string; milestoneId: string },
  signatures: readonly { userId: string; digest: Buffer }[],
): Promise<void> {
  await trx
    .insertInto("payment_signatures")
    .values(
      signatures.map(({ userId, digest }) => ({
        account_id: payment.accountId,
        payment_id: payment.id,
        milestone_id: payment.milestoneId,
        approval_id: payment.approvalId,
        statement_digest: digest,
        user_id: userId,
      })),
    )
    .execute();
}

/** As `insertPaymentSignatures`, for a credit entry. */
export async function insertCreditSignatures(
  trx: Trx,
  entry: { accountId: string; approvalId: string; entryId: string },
  signatures: readonly { userId: string; digest: Buffer }[],
): Promise<void> {
  await trx
    .insertInto("credit_signatures")
    .values(
      signatures.map(({ userId, digest }) => ({
        account_id: entry.accountId,
        entry_id: entry.entryId,
        approval_id: entry.approvalId,
        statement_digest: digest,
        user_id: userId,
      })),
    )
    .execute();
}

/** The members who may decide, by their user ids. */
export function listDeciders(db: Db, accountId: string) {
  return db
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("status", "=", "active")
    .where("role", "in", ROLES.decide)
    .select(["user_id as userId", "name", "email"])
    .orderBy("id")
    .execute();
}

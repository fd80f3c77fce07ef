import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Database, Proof } from "../database/schema.ts";
import type { Source } from "../lib/statement.ts";

export type Signature = Pick<Database["signatures"], "user_id" | "decision" | "created_at"> & {
  signer: string;
  /** What the signed statement pays from; null for a decline. */
  source: Source | null;
  /** The payment attempt or credit entry that the signature was used for; null: none. */
  payment_id: string | null;
};

/** The people who decided, by their names in the account, newest first. */
export async function listSignatures(db: Db, accountId: string, approvalId: string): Promise<Signature[]> {
  const { rows } = await sql<Signature>`
    select s.user_id, s.decision, s.created_at, coalesce(m.name, 'a former member') as signer,
      nullif(s.statement -> 'source', 'null') as source,
      coalesce(u.payment_id, (
        select c.entry_id from credit_signatures c
        where c.account_id = ${accountId} and c.approval_id = s.approval_id and c.statement_digest = s.statement_digest
          and c.user_id = s.user_id limit 1
      )) as payment_id
    from signatures s
    left join payment_signatures u on u.account_id = s.account_id and u.approval_id = s.approval_id
      and u.statement_digest = s.statement_digest and u.user_id = s.user_id
    left join members m on m.account_id = s.account_id and m.user_id = s.user_id and m.status <> 'removed'
    where s.account_id = ${accountId} and s.approval_id = ${approvalId}
    order by s.created_at desc`.execute(db);
  return rows;
}

/** Whether this exact statement is signed. */
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

/** One row per approval, statement and user. `false`: the statement was signed already. */
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

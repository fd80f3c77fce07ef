import { type RawBuilder, sql } from "kysely";
import {
  GRANT_COLUMNS,
  GRANT_PARAMETERS,
  GRANT_TABLES,
  type Grant,
  grantCondition,
} from "../accounts/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { statementForOne } from "../database/statements.ts";
import type { Credential } from "../lib/secrets.ts";
import type { ReceiptContent } from "./schemas.ts";

const time = (column: RawBuilder<unknown>) =>
  sql`to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

export type ChainHead = { index: number; digest: Buffer };

/** A head, and the index of the next link. After a restore that index lies beyond all links that may be lost. */
type OpenChain = ChainHead & { next: number };

/**
 * The content of the receipt of an approval `v` of the account `a`, from the rows as they are now. Signers have the
 * names that the account has for them now, which may change or disappear later.
 */
const contentOf = (accountId: string) => sql<ReceiptContent>`jsonb_build_object(
    'v', 1, 'accountId', a.id, 'accountName', a.name,
    'approval', jsonb_build_object('id', v.id, 'type', v.type, 'status', v.status, 'coSign', v.co_sign,
      'secondSignerFromCents', v.second_signer_from_cents, 'contractId', v.contract_id, 'milestoneId', v.milestone_id, 'jobId', v.job_id,
      'createdAt', ${time(sql`v.created_at`)}, 'expiresAt', ${time(sql`v.expires_at`)},
      'resolvedAt', ${time(sql`v.resolved_at`)}, 'result', v.result),
    'terms', v.terms,
    'askedBy', jsonb_build_object('tokenId', v.token_id, 'name', v.token_name, 'preview', v.token_preview),
    'statements', (
      select coalesce(jsonb_agg(jsonb_build_object('digest', encode(s.statement_digest, 'hex'),
        'statement', s.statement, 'signedBy', jsonb_build_object('userId', s.user_id,
          'name', coalesce(m.name, 'unknown'), 'email', m.email),
        'signedAt', ${time(sql`s.created_at`)}, 'proof', s.proof, 'signersRequired', s.signers_required)
        order by s.created_at, s.statement_digest), '[]')
      from signatures s
      left join lateral (
        select name, email from members where account_id = ${accountId} and user_id = s.user_id
        order by status = 'removed', updated_at desc limit 1
      ) m on true
      where s.account_id = ${accountId} and s.approval_id = v.id),
    'payments', (
      select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'kind', p.kind,
        'milestoneId', p.milestone_id, 'sentId', p.sent_id, 'status', p.status, 'amountCents', p.amount_cents,
        'currency', p.currency, 'processor', p.processor, 'intentId', p.intent_id,
        'refusal', case when p.refusal_code is not null
          then jsonb_build_object('code', p.refusal_code, 'message', p.refusal_message) end,
        'createdAt', ${time(sql`p.created_at`)}, 'resolvedAt', ${time(sql`p.resolved_at`)},
        'statements', (
          select coalesce(jsonb_agg(encode(s.statement_digest, 'hex') order by s.created_at, s.statement_digest), '[]')
          from payment_signatures u
          join signatures s on s.account_id = u.account_id and s.approval_id = u.approval_id
            and s.statement_digest = u.statement_digest and s.user_id = u.user_id
          where u.account_id = ${accountId} and u.payment_id = p.id))
        order by p.created_at, p.id), '[]')
      from payments p where p.account_id = ${accountId} and p.approval_id = v.id),
    'credits', (
      select coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'type', e.type, 'milestoneId', e.milestone_id,
        'amountCents', e.amount_cents, 'createdAt', ${time(sql`e.created_at`)},
        'statements', (
          select coalesce(jsonb_agg(encode(s.statement_digest, 'hex') order by s.created_at, s.statement_digest), '[]')
          from credit_signatures u
          join signatures s on s.account_id = u.account_id and s.approval_id = u.approval_id
            and s.statement_digest = u.statement_digest and s.user_id = u.user_id
          where u.account_id = ${accountId} and u.entry_id = e.id))
        order by e.number), '[]')
      from credit_entries e where e.account_id = ${accountId} and e.approval_id = v.id),
    'ledger', (
      select coalesce(jsonb_agg(jsonb_build_object('transactionId', l.transaction_id, 'line', l.line,
        'account', l.ledger_account, 'amountCents', l.amount_cents, 'currency', l.currency)
        order by l.created_at, l.transaction_id, l.line), '[]')
      from (
        select b.* from payments p join ledger_entries b on b.account_id = p.account_id and b.payment_id = p.id
        where p.account_id = ${accountId} and p.approval_id = v.id
        union
        select b.* from credit_entries e join ledger_entries b on b.account_id = e.account_id and b.credit_entry_id = e.id
        where e.account_id = ${accountId} and e.approval_id = v.id
      ) l)
  )`;

/**
 * Reads a decided approval's content and the head of its account's chain.
 * @throws TypeError when the approval is not decided
 */
export async function readDecision(
  trx: Trx,
  accountId: string,
  approvalId: string,
): Promise<{ content: ReceiptContent; head: OpenChain }> {
  const { rows } = await sql<OpenChain & { content: ReceiptContent }>`
    select h.chain_index as index, h.chain_digest as digest, greatest(h.chain_index, h.chain_floor) + 1 as next, ${contentOf(accountId)} as content
    from approvals v
    join accounts a on a.account_id = v.account_id
    join account_heads h on h.account_id = v.account_id
    where v.account_id = ${accountId} and v.id = ${approvalId} and v.status in ('confirmed', 'declined')`.execute(
    trx,
  );
  const [row] = rows;
  if (row === undefined) throw new TypeError("the approval is neither confirmed nor declined");
  const { content, ...head } = row;
  return { content, head };
}

export type NewReceipt = {
  accountId: string;
  approvalId: string;
  index: number;
  /** Null: it is the first. */
  previousIndex: number | null;
  previousDigest: Buffer;
  digest: Buffer;
  body: string;
};

/** Writes a link. The database rejects one that does not follow the previous link. */
export async function insertReceipt(trx: Trx, receipt: NewReceipt, now: Date): Promise<void> {
  await trx
    .insertInto("receipts")
    .values({
      account_id: receipt.accountId,
      chain_index: receipt.index,
      approval_id: receipt.approvalId,
      previous_index: receipt.previousIndex,
      previous_digest: receipt.previousDigest,
      digest: receipt.digest,
      body: receipt.body,
      created_at: now,
    })
    .execute();
}

/** Moves the account's head to this link. @returns `false` when the head was not `before` */
export async function advanceChain(
  trx: Trx,
  accountId: string,
  before: number,
  { index, digest }: ChainHead,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("account_heads")
    .set({ chain_index: index, chain_digest: digest })
    .where("account_id", "=", accountId)
    .where("chain_index", "=", before)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

export type ReceiptRow = { digest: Buffer; body: string };

export type GrantWithReceipt = Grant & {
  approvalId: string | null;
  digest: Buffer | null;
  body: string | null;
};

const PARAMETERS = { ...GRANT_PARAMETERS, approvalId: "uuid" } as const;

const selectReceipt = statementForOne<typeof PARAMETERS, GrantWithReceipt>(
  PARAMETERS,
  (names) => `
    select ${GRANT_COLUMNS}, v.id as "approvalId", r.digest, r.body
    from ${GRANT_TABLES}
    left join approvals v on v.account_id = t.account_id and v.id = ${names.approvalId}
    left join receipts r on r.account_id = t.account_id and r.approval_id = v.id
    where ${grantCondition(names)}`,
);

/** Reads an approval's receipt together with the requesting token. @returns `undefined` when there is no such token */
export async function readReceipt(
  db: Db,
  credential: Credential,
  approvalId: string | null,
): Promise<GrantWithReceipt | undefined> {
  return (await selectReceipt(db, { ...credential, approvalId }))[0];
}

/** The receipt of that approval in any of the accounts. */
export function findReceiptForHuman(db: Db, accountIds: readonly string[], approvalId: string) {
  return db
    .selectFrom("receipts")
    .where("account_id", "=", sql<string>`any(${accountIds}::uuid[])`)
    .where("approval_id", "=", approvalId)
    .select(["digest", "body"])
    .executeTakeFirst();
}

/** An account, with the end of its chain by its head and by its last receipt. */
export type AuditedAccount = { accountId: string; organizationId: string; head: ChainHead; last: number };

/** The next accounts by key, each with its chain at one moment. */
export async function listAccounts(db: Db, after: string | null, limit: number): Promise<AuditedAccount[]> {
  const { rows } = await sql<{ accountId: string; organizationId: string; last: number } & ChainHead>`
    select a.account_id as "accountId", a.id as "organizationId", h.chain_index as index, h.chain_digest as digest,
      (select coalesce(max(r.chain_index), 0) from receipts r where r.account_id = h.account_id) as last
    from accounts a join account_heads h on h.account_id = a.account_id
    where ${after === null ? sql`true` : sql`a.account_id > ${after}`}
    order by a.account_id limit ${limit}`.execute(db);
  return rows.map(({ index, digest, ...account }) => ({ ...account, head: { index, digest } }));
}

/** A stored receipt, with the content that its rows give now. */
export type AuditedLink = {
  index: number;
  approvalId: string;
  previousDigest: Buffer;
  digest: Buffer;
  body: string;
  present: ReceiptContent;
};

/** The account's receipts after one index and up to another, in order. */
export async function listLinks(
  db: Db,
  accountId: string,
  { after, upTo, limit }: { after: number; upTo: number; limit: number },
): Promise<AuditedLink[]> {
  const { rows } = await sql<AuditedLink>`
    select r.chain_index as index, r.approval_id as "approvalId", r.previous_digest as "previousDigest", r.digest,
      r.body, ${contentOf(accountId)} as present
    from receipts r
    join approvals v on v.account_id = r.account_id and v.id = r.approval_id
    join accounts a on a.account_id = r.account_id
    where r.account_id = ${accountId} and r.chain_index > ${after} and r.chain_index <= ${upTo}
    order by r.chain_index limit ${limit}`.execute(db);
  return rows;
}

/** Decided approvals of these accounts without a receipt; `before`: decided before the service wrote receipts. */
export async function listUnlinked(db: Db, accountIds: readonly string[]) {
  const { rows } = await sql<{ accountId: string; approvalId: string; before: boolean }>`
    select v.account_id as "accountId", v.id as "approvalId", v.resolved_at < p.receipts_since as before
    from approvals v
    cross join processor p
    left join receipts r on r.account_id = v.account_id and r.approval_id = v.id
    where v.account_id = any(${accountIds}::uuid[]) and v.status in ('confirmed', 'declined') and r.body is null
    order by v.account_id, v.resolved_at`.execute(db);
  return rows;
}

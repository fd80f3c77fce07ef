import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Billing, CoSign } from "../database/schema.ts";
import { batchedRead } from "../database/statements.ts";
import type { Credential } from "../lib/secrets.ts";

/** What a token may do, and for which account. Read for each request; never cached. */
export type Grant = {
  /** The database's time at the look-up, which the whole request uses. */
  now: Date;
  accountId: string;
  /** The id that the operator uses for the account. */
  organizationId: string;
  claimed: boolean;
  frozen: boolean;
  features: Record<string, boolean>;
  coSign: CoSign;
  secondSignerFromCents: number | null;
  tokenId: string;
  tokenName: string;
  tokenPreview: string;
  /** The root of its chain of minters, whose limits it shares; itself if no token minted it. */
  rootTokenId: string;
  scopes: string[];
  lastUsedAt: Date | null;
};

/**
 * The columns of a Grant, for statements that read more along with it. Plain text, as building a statement takes longer
 * than Postgres takes to answer it.
 */
export const GRANT_COLUMNS = `date_trunc('milliseconds', now()) as now,
  a.account_id as "accountId", a.id as "organizationId", a.claimed_at is not null as claimed, a.frozen, a.features,
  a.co_sign as "coSign", a.second_signer_from_cents as "secondSignerFromCents", t.id as "tokenId",
  t.name as "tokenName", t.preview as "tokenPreview", coalesce(t.root_id, t.id) as "rootTokenId", t.scopes,
  t.last_used_at as "lastUsedAt"`;

/** The tables of a Grant. */
export const GRANT_TABLES = "tokens t join accounts a on a.account_id = t.account_id";

/** What the parameters of a statement that reads a Grant are, beside its own. */
export const GRANT_PARAMETERS = { accountId: "uuid", digest: "bytea" } as const;

/** Whose Grant is read. */
export const grantCondition = ({ accountId, digest }: { accountId: string; digest: string }) =>
  `t.account_id = ${accountId} and t.digest = ${digest} and t.revoked_at is null
  and (t.expires_at is null or t.expires_at > now())`;

const selectGrant = batchedRead<typeof GRANT_PARAMETERS, Grant>(
  GRANT_PARAMETERS,
  (names) => `select ${GRANT_COLUMNS} from ${GRANT_TABLES} where ${grantCondition(names)}`,
);

/** Looks a token up; `undefined` when it is unknown, expired or revoked. */
export async function readGrant(db: Db, credential: Credential): Promise<Grant | undefined> {
  return (await selectGrant(db, credential))[0];
}

/** Records that tokens were used, with the time of the last use among them; at most once a minute for each. */
export async function updateLastUsed(
  db: Db,
  uses: readonly { accountId: string; tokenId: string; at: Date }[],
): Promise<void> {
  const at = new Date(Math.max(...uses.map((use) => use.at.getTime())));
  await sql`
    update tokens set last_used_at = ${at}
    where account_id = any(${uses.map((use) => use.accountId)}::uuid[]) and id = any(${uses.map((use) => use.tokenId)}::uuid[])
      and (last_used_at is null or last_used_at < ${at}::timestamptz - interval '1 minute')`.execute(db);
}

const ACCOUNT_COLUMNS = [
  "id",
  "name",
  "claimed_at",
  "features",
  "billing",
  "co_sign",
  "second_signer_from_cents",
  "amount_typed_from_cents",
  "frozen",
  "created_at",
  "updated_at",
] as const;

export function findAccount(db: Db, accountId: string) {
  return db
    .selectFrom("accounts")
    .where("account_id", "=", accountId)
    .select(ACCOUNT_COLUMNS)
    .executeTakeFirst();
}

/** The account's row, locked against other writers until the transaction ends. */
export function lockAccount(trx: Trx, accountId: string) {
  return trx
    .selectFrom("accounts")
    .where("account_id", "=", accountId)
    .select(ACCOUNT_COLUMNS)
    .forNoKeyUpdate()
    .executeTakeFirst();
}

/** Whether the account is frozen. Locks that state until the transaction ends. */
export async function holdFrozen(trx: Trx, accountId: string): Promise<boolean> {
  const row = await trx
    .selectFrom("accounts")
    .where("account_id", "=", accountId)
    .select("frozen")
    .forShare()
    .executeTakeFirst();
  return row?.frozen === true;
}

export type AccountValues = {
  name: string;
  claimedAt: Date | null;
  features: Record<string, boolean>;
  billing: Billing;
  coSign: CoSign;
  secondSignerFromCents: number | null;
  frozen: boolean;
};

function accountColumns(values: AccountValues) {
  return {
    name: values.name,
    claimed_at: values.claimedAt,
    features: JSON.stringify(values.features),
    billing: values.billing,
    co_sign: values.coSign,
    second_signer_from_cents: values.secondSignerFromCents,
    frozen: values.frozen,
  };
}

/** Creates an account and its head. `false`: the account exists already. */
export async function insertAccount(
  trx: Trx,
  accountId: string,
  id: string,
  values: AccountValues,
  now: Date,
) {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("accounts")
    .values({ account_id: accountId, id, ...accountColumns(values), created_at: now, updated_at: now })
    .onConflict((conflict) => conflict.column("account_id").doNothing())
    .executeTakeFirstOrThrow();
  if (numInsertedOrUpdatedRows === 0n) return false;
  // After a restore or fail-over an account of this id may have been lost, with event numbers that readers have seen.
  await sql`
    insert into account_heads (account_id, run)
    select ${accountId}::uuid, case when runs = 1 and run = server_run() then run else '' end
    from operator_head`.execute(trx);
  return true;
}

export async function updateAccount(
  trx: Trx,
  accountId: string,
  values: AccountValues,
  now: Date,
): Promise<void> {
  await trx
    .updateTable("accounts")
    .set({ ...accountColumns(values), updated_at: now })
    .where("account_id", "=", accountId)
    .execute();
}

/** What an account's owners decide about how it is confirmed and what pays. Amounts are cents, of 24 hours. */
export type Policy = {
  coSign: CoSign;
  /** From which sum on a person types the amount; null: from the operator's, which is the most it can be. */
  amountTypedFromCents: number | null;
  /** From which sum on a second person signs; null: never. */
  secondSignerFromCents: number | null;
  billing: Billing;
};

export async function updatePolicy(
  trx: Trx,
  accountId: string,
  { coSign, amountTypedFromCents, secondSignerFromCents, billing }: Policy,
  now: Date,
): Promise<void> {
  await trx
    .updateTable("accounts")
    .set({
      co_sign: coSign,
      amount_typed_from_cents: amountTypedFromCents,
      second_signer_from_cents: secondSignerFromCents,
      billing,
      updated_at: now,
    })
    .where("account_id", "=", accountId)
    .execute();
}

export async function claimAccount(trx: Trx, accountId: string, now: Date): Promise<void> {
  await trx
    .updateTable("accounts")
    .set({ claimed_at: now, updated_at: now })
    .where("account_id", "=", accountId)
    .where("claimed_at", "is", null)
    .execute();
}

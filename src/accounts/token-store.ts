import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { TokenMakerKind } from "../database/schema.ts";
import type { Credential, NewSecret } from "../lib/secrets.ts";
import type { Grant } from "./store.ts";

/** The token that acts. */
export type ActingToken = Pick<Grant, "accountId" | "tokenId" | "rootTokenId" | "tokenName" | "tokenPreview">;

/** The columns of a `TokenRow`. */
export const TOKEN_COLUMNS = [
  "id",
  "name",
  "preview",
  "scopes",
  "minted_by",
  "root_id",
  "created_at",
  "last_used_at",
  "expires_at",
  "revoked_at",
] as const;

export type TokenRow = NonNullable<Awaited<ReturnType<typeof listTokens>>[number]>;

/** Which tokens a list shows: those that live, and so many of those that ended last. */
export type Shown = { now: Date; ended: number };

export function listTokens(db: Db, accountId: string, shown: Shown) {
  return db
    .selectFrom("tokens as t")
    .where("t.account_id", "=", accountId)
    .where(isShown(accountId, shown))
    .select(TOKEN_COLUMNS)
    .orderBy("t.created_at", "desc")
    .orderBy("t.id", "desc")
    .execute();
}

/** The account's tokens, ended ones too, newest first. @param before the id at which the page before ended */
export function listTokenPage(db: Db, accountId: string, before: string | undefined, limit: number) {
  return db
    .selectFrom("tokens")
    .where("account_id", "=", accountId)
    .where("secretless", "=", false)
    .$if(before !== undefined, (query) => query.where("id", "<", before ?? ""))
    .select(TOKEN_COLUMNS)
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}

/** Whether a list shows the token `t`. */
export function isShown(accountId: string, { now, ended }: Shown) {
  return sql<boolean>`not t.secretless and t.id = any(array(
    select l.id from tokens l
    where l.account_id = ${accountId} and l.revoked_at is null and (l.expires_at is null or l.expires_at > ${now})
    union all (
      select e.id from tokens e
      where e.account_id = ${accountId} and least(e.revoked_at, e.expires_at) <= ${now}
      order by least(e.revoked_at, e.expires_at) desc, e.id desc limit ${ended}
    )))`;
}

export function findToken(db: Db, accountId: string, id: string): Promise<TokenRow | undefined> {
  return db
    .selectFrom("tokens")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select(TOKEN_COLUMNS)
    .executeTakeFirst();
}

/** The token of that secret, an ended one too. */
export function findTokenOf(db: Db, { accountId, digest }: Credential): Promise<TokenRow | undefined> {
  return db
    .selectFrom("tokens")
    .where("account_id", "=", accountId)
    .where("digest", "=", digest)
    .select(TOKEN_COLUMNS)
    .executeTakeFirst();
}

/** The token of that secret, unless it was revoked. */
export async function findLiveToken(
  trx: Trx,
  { accountId, digest }: Credential,
): Promise<(ActingToken & { name: string; preview: string }) | undefined> {
  const row = await trx
    .selectFrom("tokens")
    .where("account_id", "=", accountId)
    .where("digest", "=", digest)
    .where("revoked_at", "is", null)
    .select(["id", "root_id", "name", "preview"])
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { id, root_id, name, preview } = row;
  return {
    accountId,
    tokenId: id,
    rootTokenId: root_id ?? id,
    tokenName: name,
    tokenPreview: preview,
    name,
    preview,
  };
}

/** How many active tokens the account has, and how many of them tokens minted. */
export function countActiveTokens(trx: Trx, accountId: string, now: Date) {
  return trx
    .selectFrom("tokens")
    .where("account_id", "=", accountId)
    .where("revoked_at", "is", null)
    .where("secretless", "=", false)
    .where((where) => where.or([where("expires_at", "is", null), where("expires_at", ">", now)]))
    .select((select) => [
      select.fn.countAll<number>().as("all"),
      select.fn.count<number>("minted_by").as("byTokens"),
    ])
    .executeTakeFirstOrThrow();
}

/** How many tokens the account's tokens have minted since then, and when the first of them was. */
export function countMinted(trx: Trx, accountId: string, since: Date) {
  return trx
    .selectFrom("tokens")
    .where("account_id", "=", accountId)
    .where("minted_by", "is not", null)
    .where("created_at", ">", since)
    .select((select) => [
      select.fn.countAll<number>().as("count"),
      select.fn.min<Date | null>("created_at").as("first"),
    ])
    .executeTakeFirstOrThrow();
}

export type NewToken = {
  id: string;
  name: string;
  secret: NewSecret;
  scopes: readonly string[];
  mintedBy: string | null;
  rootId: string | null;
  mintedByUser: string | null;
  /** Of a token that no token minted. */
  maker: { kind: TokenMakerKind; name: string | null };
  expiresAt: Date | null;
};

export function insertToken(trx: Trx, accountId: string, token: NewToken, now: Date): Promise<TokenRow> {
  const { secret, mintedBy, maker } = token;
  const own = sql`${token.id}::uuid, ${token.name}::text, ${secret.digest}::bytea, ${secret.preview}::text,
    ${[...token.scopes]}::text[], ${mintedBy}::uuid, ${token.rootId}::uuid, ${token.mintedByUser}::text,
    ${token.expiresAt}::timestamptz, ${now}::timestamptz`;
  return (
    trx
      .insertInto("tokens")
      .columns([
        "account_id",
        "id",
        "name",
        "digest",
        "preview",
        "scopes",
        "minted_by",
        "root_id",
        "minted_by_user",
        "expires_at",
        "created_at",
        "maker_kind",
        "maker_name",
      ])
      // The account is held: the minter stays.
      .expression(
        mintedBy === null
          ? sql`values (${accountId}::uuid, ${own}, ${maker.kind}::text, ${maker.name}::text)`
          : sql`select t.account_id, ${own}, t.maker_kind, t.maker_name
              from tokens t where t.account_id = ${accountId} and t.id = ${mintedBy}`,
      )
      .returning(TOKEN_COLUMNS)
      .executeTakeFirstOrThrow()
  );
}

export type Secretless = {
  id: string;
  name: string;
  preview: string;
  digest: Buffer;
  /** The member who requests approvals under it; null: the operator. */
  userId: string | null;
};

/** Finds or creates the token under which the operator or a member requests approvals. @returns its digest */
export async function openSecretless(
  trx: Trx,
  accountId: string,
  { id, name, preview, digest, userId }: Secretless,
  now: Date,
): Promise<Buffer> {
  const { rows } = await sql<{ digest: Buffer }>`
    insert into tokens (account_id, id, name, digest, preview, scopes, maker_kind, minted_by_user, secretless, created_at)
    values (${accountId}, ${id}, ${name}, ${digest}, ${preview}, '{}', ${userId === null ? "operator" : "member"},
      ${userId}, true, ${now})
    on conflict (account_id, coalesce(minted_by_user, '')) where secretless and revoked_at is null
      do update set name = excluded.name
    returning digest`.execute(trx);
  const [own] = rows;
  if (own === undefined) throw new TypeError("an upsert returns its row");
  return own.digest;
}

/** The live tokens that a person has minted by hand: those whose secrets they have seen. */
export async function listLiveTokensOfUser(db: Db, accountId: string, userId: string): Promise<string[]> {
  return idsOf(await selectTokensOfUser(db, accountId, userId).where("revoked_at", "is", null).execute());
}

/** The tokens that a person has minted by hand, ended ones too. */
export async function listTokensOfUser(db: Db, accountId: string, userId: string): Promise<string[]> {
  return idsOf(await selectTokensOfUser(db, accountId, userId).execute());
}

function selectTokensOfUser(db: Db, accountId: string, userId: string) {
  return db
    .selectFrom("tokens")
    .where("account_id", "=", accountId)
    .where("minted_by_user", "=", userId)
    .where("secretless", "=", false)
    .select("id");
}

/** The account's live tokens of that name. */
export async function listLiveTokensNamed(trx: Trx, accountId: string, name: string): Promise<string[]> {
  const rows = await trx
    .selectFrom("tokens")
    .where("account_id", "=", accountId)
    .where("name", "=", name)
    .where("revoked_at", "is", null)
    .select("id")
    .execute();
  return idsOf(rows);
}

function idsOf(rows: readonly { id: string }[]): string[] {
  return rows.map(({ id }) => id);
}

/** The tokens and their descendants. */
export async function listWithDescendants(
  db: Db,
  accountId: string,
  ids: readonly string[],
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    with recursive family as (
      select id from tokens where account_id = ${accountId} and id = any(${ids}::uuid[])
      union
      select t.id from tokens t join family f on t.minted_by = f.id where t.account_id = ${accountId}
    )
    select id from family`.execute(db);
  return idsOf(rows);
}

/** @returns how many were live until now */
export async function revokeTokens(
  trx: Trx,
  accountId: string,
  ids: readonly string[],
  now: Date,
): Promise<number> {
  const { numAffectedRows } = await sql`
    update tokens set revoked_at = ${now}
    where account_id = ${accountId} and id = any(${ids}::uuid[]) and revoked_at is null`.execute(trx);
  return Number(numAffectedRows ?? 0n);
}

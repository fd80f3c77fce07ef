import { sql } from "kysely";
import type { Trx } from "../database/connection.ts";

/** Makes a person an active owner: a member whom the operator had invited under that e-mail, else a new one. */
export async function saveOwner(
  trx: Trx,
  accountId: string,
  owner: { id: string; email: string; name: string; userId: string },
  now: Date,
): Promise<string> {
  const present = await trx
    .updateTable("members")
    .set({ role: "owner", status: "active", user_id: owner.userId, updated_at: now })
    .where("account_id", "=", accountId)
    .where("email", "=", owner.email)
    .where("status", "<>", "removed")
    .returning("id")
    .executeTakeFirst();
  if (present !== undefined) return present.id;
  await trx
    .insertInto("members")
    .values({
      account_id: accountId,
      id: owner.id,
      email: owner.email,
      name: owner.name,
      role: "owner",
      status: "active",
      user_id: owner.userId,
      created_at: now,
      updated_at: now,
    })
    .execute();
  return owner.id;
}

/** Revokes every live token of the account. */
export async function revokeTokens(trx: Trx, accountId: string, now: Date): Promise<void> {
  await trx
    .updateTable("tokens")
    .set({ revoked_at: now })
    .where("account_id", "=", accountId)
    .where("revoked_at", "is", null)
    .execute();
}

/** Revokes the live token of that digest, and what it minted, and so on. @returns whether there was one */
export async function revokeTokenByDigest(
  trx: Trx,
  accountId: string,
  digest: Buffer,
  now: Date,
): Promise<boolean> {
  const { rows } = await sql<{ id: string }>`
    with recursive branch as (
      select id from tokens where account_id = ${accountId} and digest = ${digest} and revoked_at is null
      union
      select t.id from tokens t join branch b on t.minted_by = b.id where t.account_id = ${accountId}
    )
    select id from branch`.execute(trx);
  if (rows.length === 0) return false;
  await trx
    .updateTable("tokens")
    .set({ revoked_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", sql<string>`any(${rows.map(({ id }) => id)}::uuid[])`)
    .where("revoked_at", "is", null)
    .execute();
  return true;
}

/** Removes a token and what it minted. */
export async function deleteTokenBranch(trx: Trx, accountId: string, tokenId: string): Promise<void> {
  await sql`
    with recursive branch as (
      select id from tokens where account_id = ${accountId} and id = ${tokenId}
      union
      select t.id from tokens t join branch b on t.minted_by = b.id where t.account_id = ${accountId}
    )
    delete from tokens where account_id = ${accountId} and id in (select id from branch)`.execute(trx);
}

/**
 * Removes an account that nobody has claimed, or changed since it was made, with a feed of `events` at most.
 * Whatever else belongs to it keeps it, by its foreign key.
 * @returns `false`: it is kept
 */
export async function deleteUnclaimedAccount(
  trx: Trx,
  accountId: string,
  { events }: { events: number },
): Promise<boolean> {
  await trx
    .deleteFrom("account_heads")
    .where("account_id", "=", accountId)
    .where("last_event", "<=", events)
    .execute();
  const { numDeletedRows } = await trx
    .deleteFrom("accounts")
    .where("account_id", "=", accountId)
    .where("claimed_at", "is", null)
    .whereRef("updated_at", "=", "created_at")
    .executeTakeFirstOrThrow();
  return numDeletedRows === 1n;
}

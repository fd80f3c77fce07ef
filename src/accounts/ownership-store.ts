import { sql } from "kysely";
import type { Trx } from "../database/connection.ts";

/** Makes a person an active owner: the member whom the operator has invited under that e-mail, else a new one. */
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
export async function revokeAllTokens(trx: Trx, accountId: string, now: Date): Promise<void> {
  await trx
    .updateTable("tokens")
    .set({ revoked_at: now })
    .where("account_id", "=", accountId)
    .where("revoked_at", "is", null)
    .execute();
}

/** The token with which an agent registered the account, if one did. */
export async function findRegistrationToken(trx: Trx, accountId: string): Promise<string | undefined> {
  const row = await trx
    .selectFrom("agent_registrations")
    .where("account_id", "=", accountId)
    .select("token_id")
    .executeTakeFirst();
  return row?.token_id;
}

export async function deleteTokens(trx: Trx, accountId: string, ids: readonly string[]): Promise<void> {
  await sql`delete from tokens where account_id = ${accountId} and id = any(${ids}::uuid[])`.execute(trx);
}

/**
 * Deletes an account that was neither claimed nor changed since its creation. A row that refers to it prevents this by
 * its foreign key.
 * @returns `false`: it is kept
 */
export async function deleteUnclaimedAccount(trx: Trx, accountId: string): Promise<boolean> {
  await trx.deleteFrom("account_heads").where("account_id", "=", accountId).execute();
  const { numDeletedRows } = await trx
    .deleteFrom("accounts")
    .where("account_id", "=", accountId)
    .where("claimed_at", "is", null)
    .whereRef("updated_at", "=", "created_at")
    .executeTakeFirstOrThrow();
  return numDeletedRows === 1n;
}

import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";

/** An inactive passkey. */
export type WaitingRow = {
  id: string;
  userId: string;
  name: string;
  addedAt: Date;
  /** When it becomes active, as the operator has opened it; null: once owners consent. */
  opensAt: Date | null;
};

/** The inactive passkeys of these people, oldest first. */
export async function listWaiting(db: Db, userIds: readonly string[]): Promise<WaitingRow[]> {
  const { rows } = await sql<WaitingRow>`
    select id, user_id as "userId", name, created_at as "addedAt", active_from as "opensAt" from auth.passkeys
    where user_id = any(${userIds}::text[]) and (active_from is null or active_from > now())
    order by created_at, id`.execute(db);
  return rows;
}

/** Locks an inactive passkey. */
export async function lockWaiting(trx: Trx, id: string): Promise<WaitingRow | undefined> {
  const { rows } = await sql<WaitingRow>`
    select id, user_id as "userId", name, created_at as "addedAt", active_from as "opensAt" from auth.passkeys
    where id = ${id} and (active_from is null or active_from > now()) for no key update`.execute(trx);
  return rows[0];
}

/** Sets when a passkey becomes active; null: once owners consent. */
export async function setActiveFrom(trx: Trx, id: string, from: Date | null): Promise<void> {
  await trx.updateTable("auth.passkeys").set({ active_from: from }).where("id", "=", id).execute();
}

/** Records an owner's consent. It replaces an earlier one of the same account. */
export async function insertConsent(
  trx: Trx,
  { accountId, passkeyId, userId }: { accountId: string; passkeyId: string; userId: string },
  now: Date,
): Promise<void> {
  await trx
    .insertInto("auth.passkey_consents")
    .values({ account_id: accountId, passkey_id: passkeyId, consented_by: userId, consented_at: now })
    .onConflict((conflict) =>
      conflict.columns(["account_id", "passkey_id"]).doUpdateSet({ consented_by: userId, consented_at: now }),
    )
    .execute();
}

/** The consents to these passkeys. Does not check whether the consenting person still owns the account. */
export async function listConsents(db: Db, passkeyIds: readonly string[]) {
  const { rows } = await sql<{ accountId: string; passkeyId: string; userId: string }>`
    select account_id as "accountId", passkey_id as "passkeyId", consented_by as "userId" from auth.passkey_consents
    where passkey_id = any(${passkeyIds}::uuid[])`.execute(db);
  return rows;
}

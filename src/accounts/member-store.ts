import type { Db, Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";

const COLUMNS = [
  "id",
  "email",
  "name",
  "role",
  "status",
  "user_id as userId",
  "updated_at as updatedAt",
] as const;

export type MemberOfAccount = NonNullable<Awaited<ReturnType<typeof findMember>>>;

/** A member who was not removed, invited ones too. */
export function findMember(db: Db, accountId: string, id: string) {
  return db
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "<>", "removed")
    .select(COLUMNS)
    .executeTakeFirst();
}

/** The account's owners who have accepted, oldest first. */
export function listOwners(db: Db, accountId: string): Promise<MemberOfAccount[]> {
  return db
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("status", "=", "active")
    .where("role", "=", "owner")
    .select(COLUMNS)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
}

export async function updateRole(
  trx: Trx,
  accountId: string,
  id: string,
  role: MemberRole,
  now: Date,
): Promise<void> {
  await trx
    .updateTable("members")
    .set({ role, updated_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "active")
    .execute();
}

/** Removes a member; an invitation that is open is used up. */
export async function removeMember(trx: Trx, accountId: string, id: string, now: Date): Promise<void> {
  await trx
    .updateTable("members")
    .set({ status: "removed", updated_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "<>", "removed")
    .execute();
  await trx
    .updateTable("invitations")
    .set({ used_at: now })
    .where("account_id", "=", accountId)
    .where("member_id", "=", id)
    .where("used_at", "is", null)
    .execute();
}

/** Uses up the open invitations that a person has sent, or consented to, as an owner. */
export async function endInvitationsBy(
  trx: Trx,
  accountId: string,
  userId: string,
  now: Date,
): Promise<void> {
  await trx
    .updateTable("invitations")
    .set({ used_at: now })
    .where("account_id", "=", accountId)
    .where("consented_by", "=", userId)
    .where("used_at", "is", null)
    .execute();
}

/** How many invitations the account has sent since then, and when the first of them was. */
export async function countInvitations(
  trx: Trx,
  accountId: string,
  since: Date,
): Promise<{ count: number; first: Date | null }> {
  return trx
    .selectFrom("invitations")
    .where("account_id", "=", accountId)
    .where("created_at", ">", since)
    .select((select) => [
      select.fn.countAll<number>().as("count"),
      select.fn.min<Date | null>("created_at").as("first"),
    ])
    .executeTakeFirstOrThrow();
}

import { sql } from "kysely";
import type { DecidingRole } from "../accounts/roles.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { UpgradeOutcome } from "../database/schema.ts";

/** An upgrade of an active member; `effectiveAt` null: it needs an owner's consent. */
export type UpgradeRow = Awaited<ReturnType<typeof listOpen>>[number];

function selectOpen(db: Db, accountId: string) {
  return db
    .selectFrom("member_upgrades as u")
    .innerJoin("members as m", (join) =>
      join.onRef("m.account_id", "=", "u.account_id").onRef("m.id", "=", "u.member_id"),
    )
    .where("u.account_id", "=", accountId)
    .where("u.ended_at", "is", null)
    .where("m.status", "=", "active")
    .select([
      "u.account_id as accountId",
      "u.id",
      "u.member_id as memberId",
      "m.name as memberName",
      "m.email as memberEmail",
      "m.role as memberRole",
      "u.role",
      "u.asked_at as askedAt",
      "u.effective_at as effectiveAt",
      "u.mailed_at as mailedAt",
    ]);
}

/** The account's open upgrades of active members, oldest first. */
export function listOpen(db: Db, accountId: string) {
  return selectOpen(db, accountId).orderBy("u.asked_at").orderBy("u.id").execute();
}

export function findOpen(db: Db, accountId: string, id: string) {
  return selectOpen(db, accountId).where("u.id", "=", id).executeTakeFirst();
}

export async function insertUpgrade(
  trx: Trx,
  upgrade: {
    accountId: string;
    id: string;
    memberId: string;
    role: DecidingRole;
    effectiveAt: Date | null;
  },
  now: Date,
): Promise<void> {
  await trx
    .insertInto("member_upgrades")
    .values({
      account_id: upgrade.accountId,
      id: upgrade.id,
      member_id: upgrade.memberId,
      role: upgrade.role,
      asked_at: now,
      effective_at: upgrade.effectiveAt,
      mailed_at: now,
      ended_at: null,
      outcome: null,
    })
    .execute();
}

/** Ends the member's open upgrade. @returns its id, if there was one */
export async function endOpen(
  trx: Trx,
  { accountId, memberId }: { accountId: string; memberId: string },
  outcome: UpgradeOutcome,
  now: Date,
): Promise<string | undefined> {
  const row = await trx
    .updateTable("member_upgrades")
    .set({ ended_at: now, outcome })
    .where("account_id", "=", accountId)
    .where("member_id", "=", memberId)
    .where("ended_at", "is", null)
    .returning("id")
    .executeTakeFirst();
  return row?.id;
}

export async function markMailed(trx: Trx, { accountId, id }: UpgradeRow, now: Date): Promise<void> {
  await trx
    .updateTable("member_upgrades")
    .set({ mailed_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("ended_at", "is", null)
    .execute();
}

/**
 * Open upgrades that take effect without consent, of active members in accounts that are not frozen. Those mailed
 * longest ago come first.
 */
export function listTimed(db: Db, limit: number): Promise<{ accountId: string; id: string }[]> {
  return db
    .selectFrom("member_upgrades as u")
    .innerJoin("members as m", (join) =>
      join.onRef("m.account_id", "=", "u.account_id").onRef("m.id", "=", "u.member_id"),
    )
    .innerJoin("accounts as a", "a.account_id", "u.account_id")
    .where("a.frozen", "=", false)
    .where("u.ended_at", "is", null)
    .where("u.effective_at", "is not", null)
    .where("m.status", "=", "active")
    .select(["u.account_id as accountId", "u.id"])
    .orderBy("u.mailed_at")
    .limit(limit)
    .execute();
}

/** Whether one of these people has signed in since then. */
export async function hasSignedIn(db: Db, userIds: readonly string[], since: Date): Promise<boolean> {
  const { rows } = await sql`
    select 1 from auth.users where id = any(${userIds}::text[]) and signed_in_at > ${since}::timestamptz limit 1`.execute(
    db,
  );
  return rows.length > 0;
}

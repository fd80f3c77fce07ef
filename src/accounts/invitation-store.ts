import type { Db, Trx } from "../database/connection.ts";
import type { Credential } from "../lib/secrets.ts";

/** Uses up the account's open invitations, which the caller narrows further. */
function useUp(trx: Trx, accountId: string, now: Date) {
  return trx
    .updateTable("invitations")
    .set({ used_at: now })
    .where("account_id", "=", accountId)
    .where("used_at", "is", null);
}

/** Creates an invitation, which replaces the member's earlier one. */
export async function replaceInvitation(
  trx: Trx,
  accountId: string,
  invitation: { id: string; memberId: string; digest: Buffer; expiresAt: Date },
  now: Date,
): Promise<void> {
  await endInvitationOf(trx, accountId, invitation.memberId, now);
  await trx
    .insertInto("invitations")
    .values({
      account_id: accountId,
      id: invitation.id,
      member_id: invitation.memberId,
      digest: invitation.digest,
      created_at: now,
      expires_at: invitation.expiresAt,
      used_at: null,
    })
    .execute();
}

/** An invitation, with what its page shows, and whether the account has an active owner. */
export type InvitationRow = Awaited<ReturnType<typeof listOpenInvitations>>[number];

function selectInvitations(db: Db, accountId: string) {
  return db
    .selectFrom("invitations as i")
    .where("i.account_id", "=", accountId)
    .innerJoin("members as m", (join) =>
      join.onRef("m.account_id", "=", "i.account_id").onRef("m.id", "=", "i.member_id"),
    )
    .innerJoin("accounts as a", "a.account_id", "i.account_id")
    .select((select) => [
      "i.account_id as accountId",
      "a.id as organizationId",
      "a.name as accountName",
      "i.id as invitationId",
      "m.id as memberId",
      "m.email",
      "m.name",
      "m.role",
      "m.status",
      "i.expires_at as expiresAt",
      "i.used_at as usedAt",
      "i.consented_at as consentedAt",
      select
        .exists(
          select
            .selectFrom("members as o")
            .where("o.account_id", "=", accountId)
            .where("o.status", "=", "active")
            .where("o.role", "=", "owner")
            .select("o.id"),
        )
        .$castTo<boolean>()
        .as("hasOwner"),
    ]);
}

export function findInvitation(db: Db, { accountId, digest }: Credential) {
  return selectInvitations(db, accountId).where("i.digest", "=", digest).executeTakeFirst();
}

/** Invitations of the account that are neither accepted nor replaced nor expired, oldest first. */
export function listOpenInvitations(db: Db, accountId: string, now: Date) {
  return selectInvitations(db, accountId)
    .where("i.used_at", "is", null)
    .where("i.expires_at", ">", now)
    .where("m.status", "=", "invited")
    .orderBy("i.created_at")
    .execute();
}

/** Uses an invitation up. `false`: it was used up already. */
export async function useInvitation(trx: Trx, accountId: string, id: string, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await useUp(trx, accountId, now).where("id", "=", id).executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Uses up the member's open invitation, if there is one. */
export async function endInvitationOf(
  trx: Trx,
  accountId: string,
  memberId: string,
  now: Date,
): Promise<void> {
  await useUp(trx, accountId, now).where("member_id", "=", memberId).execute();
}

/** Uses up the open invitations that a person has sent, or consented to, as an owner. */
export async function endInvitationsBy(
  trx: Trx,
  accountId: string,
  userId: string,
  now: Date,
): Promise<void> {
  await useUp(trx, accountId, now).where("consented_by", "=", userId).execute();
}

/** Records an owner's consent. `false`: the invitation is used up or expired, or has it already. */
export async function consentToInvitation(
  trx: Trx,
  accountId: string,
  id: string,
  userId: string,
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("invitations")
    .set({ consented_at: now, consented_by: userId })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("used_at", "is", null)
    .where("consented_at", "is", null)
    .where("expires_at", ">", now)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Withdraws the owner's consent from the member's open invitation. */
export async function clearConsent(trx: Trx, accountId: string, memberId: string): Promise<void> {
  await trx
    .updateTable("invitations")
    .set({ consented_at: null, consented_by: null })
    .where("account_id", "=", accountId)
    .where("member_id", "=", memberId)
    .where("used_at", "is", null)
    .execute();
}

/** How many invitations the account has sent since then, and when the first of them was. */
export function countInvitations(trx: Trx, accountId: string, since: Date) {
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

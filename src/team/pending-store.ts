import type { Db, Trx } from "../database/connection.ts";
import type { PendingOutcome } from "../database/schema.ts";

export type PendingChange = Awaited<ReturnType<typeof listOpen>>[number];

/** Open, unexpired changes of the account that were asked for by a person who still owns it. */
function selectOpen(db: Db, accountId: string, now: Date) {
  return db
    .selectFrom("pending_changes as p")
    .innerJoin("members as m", (join) =>
      join.onRef("m.account_id", "=", "p.account_id").onRef("m.user_id", "=", "p.asked_by"),
    )
    .where("p.account_id", "=", accountId)
    .where("p.ended_at", "is", null)
    .where("p.expires_at", ">", now)
    .where("m.status", "=", "active")
    .where("m.role", "=", "owner")
    .select([
      "p.account_id as accountId",
      "p.id",
      "p.action",
      "p.terms",
      "p.request",
      "p.asked_by as askedBy",
      "m.name as askedByName",
      "m.email as askedByEmail",
      "p.expires_at as expiresAt",
    ]);
}

/** The account's open changes, oldest first. */
export function listOpen(db: Db, accountId: string, now: Date) {
  return selectOpen(db, accountId, now).orderBy("p.asked_at").orderBy("p.id").execute();
}

export function findOpen(db: Db, accountId: string, id: string, now: Date) {
  return selectOpen(db, accountId, now).where("p.id", "=", id).executeTakeFirst();
}

export async function insertChange(
  trx: Trx,
  change: Omit<PendingChange, "askedByName" | "askedByEmail"> & { subject: string },
  now: Date,
): Promise<void> {
  await trx
    .insertInto("pending_changes")
    .values({
      account_id: change.accountId,
      id: change.id,
      action: change.action,
      subject: change.subject,
      terms: JSON.stringify(change.terms),
      request: JSON.stringify(change.request),
      asked_by: change.askedBy,
      asked_at: now,
      expires_at: change.expiresAt,
      ended_at: null,
      ended_by: null,
      outcome: null,
    })
    .execute();
}

/** Ends the open change of that id or subject, expired or not. */
export async function endChange(
  trx: Trx,
  { accountId, ...which }: { accountId: string } & ({ id: string } | { subject: string }),
  outcome: PendingOutcome,
  endedBy: string,
  now: Date,
): Promise<void> {
  const ending = trx
    .updateTable("pending_changes")
    .set({ ended_at: now, ended_by: endedBy, outcome })
    .where("account_id", "=", accountId)
    .where("ended_at", "is", null);
  await ("id" in which
    ? ending.where("id", "=", which.id)
    : ending.where("subject", "=", which.subject)
  ).execute();
}

/** How many changes were asked for in the account since then, and when the first one was. */
export function countAsked(trx: Trx, accountId: string, since: Date) {
  return trx
    .selectFrom("pending_changes")
    .where("account_id", "=", accountId)
    .where("asked_at", ">", since)
    .select((select) => [
      select.fn.countAll<number>().as("count"),
      select.fn.min<Date | null>("asked_at").as("first"),
    ])
    .executeTakeFirstOrThrow();
}

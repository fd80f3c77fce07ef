import { sql } from "kysely";
import { listDue, shortenWaits } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { COLUMNS, type PaymentKey, UNDECIDED } from "./payment-store.ts";

/** Undecided attempts of any account that are due, longest first. */
export function listDuePayments(db: Db, now: Date, limit: number): Promise<PaymentKey[]> {
  return listDue(db, "payments", now, limit);
}

/** Shortens leases and waits that a clock set back has made longer than `leaseSeconds` and `waitSeconds`. */
export async function shortenPaymentWaits(
  db: Db,
  { leaseSeconds, waitSeconds }: { leaseSeconds: number; waitSeconds: number },
): Promise<void> {
  const pending = sql<boolean>`due_at is not null`;
  const lease = sql<number>`${leaseSeconds}::float8`;
  const seconds = sql<number>`case when lease is null then ${waitSeconds}::float8 else ${lease} end`;
  await shortenWaits(db, "payments", "leased_until", { pending, seconds: lease });
  await shortenWaits(db, "payments", "due_at", { pending, seconds });
}

/**
 * Attempts that have been in doubt since before `before` and were not reported. Excludes attempts held back by a
 * pause: reporting them now would hide a doubt later.
 */
export function listInDoubt(db: Db, before: Date): Promise<PaymentKey[]> {
  return db
    .selectFrom("payments")
    .where("due_at", "is not", null)
    .where("alerted_at", "is", null)
    .where("status", "in", ["created", "submitted", "unknown"])
    .where(sql<boolean>`not (status = 'created' and (select paused from payment_pause))`)
    .where("created_at", "<=", before)
    .select(["account_id as accountId", "id"])
    .execute();
}

/** Marks an undecided attempt as in doubt. `undefined`: it was marked before, or is decided. */
export function markInDoubt(trx: Trx, { accountId, id }: PaymentKey, now: Date) {
  return trx
    .updateTable("payments")
    .set({ alerted_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("alerted_at", "is", null)
    .where("status", "in", UNDECIDED)
    .returning(COLUMNS)
    .executeTakeFirst();
}

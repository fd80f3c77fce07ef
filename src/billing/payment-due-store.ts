import { sql } from "kysely";
import { listDue, shortenWaits } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import type { PaymentKey } from "./payment-store.ts";

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

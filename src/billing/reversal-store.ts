import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Database } from "../database/schema.ts";
import type { Reversal } from "./processor.ts";

const COLUMNS = [
  "id",
  "kind",
  "status",
  "amount_cents as amountCents",
  "currency",
  "taken_cents as takenCents",
  "final",
  "observed_at as observedAt",
  "created_at as createdAt",
  "updated_at as updatedAt",
] as const;

/** A refund or dispute as recorded here. */
export type ReversalRow = Awaited<ReturnType<typeof listReversals>>[number];

/** The reversals of the account's payments, oldest first. */
export function listReversals(db: Db, accountId: string, paymentIds: readonly string[]) {
  return db
    .selectFrom("reversals")
    .where("account_id", "=", accountId)
    .where("payment_id", "=", sql<string>`any(${paymentIds}::uuid[])`)
    .select([...COLUMNS, sql<string>`payment_id`.as("paymentId")])
    .orderBy("created_at")
    .orderBy("id")
    .execute();
}

/** The reversals of a top-up's payment. */
export function listTopUpReversals(db: Db, accountId: string, topUpId: string) {
  return db
    .selectFrom("reversals")
    .where("account_id", "=", accountId)
    .where("top_up_id", "=", topUpId)
    .select(COLUMNS)
    .execute();
}

/** Records the current state of a reversal. */
export async function saveReversal(
  trx: Trx,
  subject: { accountId: string } & ({ paymentId: string } | { topUpId: string }),
  reversal: Pick<Reversal, "id" | "status" | "amountCents" | "currency" | "takenCents" | "final"> & {
    kind: Database["reversals"]["kind"];
  },
  { now, observedAt }: { now: Date; observedAt: Date },
): Promise<void> {
  const changed = {
    status: reversal.status,
    amount_cents: reversal.amountCents,
    taken_cents: reversal.takenCents,
    final: reversal.final,
    observed_at: observedAt,
    updated_at: now,
  };
  await trx
    .insertInto("reversals")
    .values({
      account_id: subject.accountId,
      id: reversal.id,
      payment_id: "paymentId" in subject ? subject.paymentId : null,
      top_up_id: "topUpId" in subject ? subject.topUpId : null,
      kind: reversal.kind,
      currency: reversal.currency,
      created_at: now,
      ...changed,
    })
    .onConflict((conflict) => conflict.columns(["account_id", "id"]).doUpdateSet(changed))
    .execute();
}

import type { Trx } from "../database/connection.ts";
import type { Billing } from "../database/schema.ts";

/** `false`: the setup is not the one that was shown. */
export async function changeSetup(
  trx: Trx,
  accountId: string,
  { from, to }: { from: Billing; to: Billing },
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("accounts")
    .set({ billing: to, updated_at: now })
    .where("account_id", "=", accountId)
    .where("billing", "=", from)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

import { holdAccount } from "../accounts/service.ts";
import { type Act, recordAudit } from "../audit/service.ts";
import type { CreditEntry } from "../billing/credit-schemas.ts";
import { adjustCredits, getCreditEntry } from "../billing/credit-service.ts";
import { mailAdjusted } from "../billing/top-up-service.ts";
import { readClock } from "../database/clock.ts";
import { inTransaction } from "../database/transaction.ts";
import { textOf } from "../lib/fields.ts";
import { badField } from "../lib/problems.ts";
import type { OperatorDeps } from "./account-service.ts";

/**
 * Corrects an account's available credits, below zero too (docs/contract.md §5, §8). Audited, and mailed to its owners and
 * approvers.
 * @param asked.amountCents signed, not 0
 * @throws Problem bad_request {field}
 */
export async function postAdjustment(
  { db, config }: OperatorDeps,
  accountId: string,
  asked: { amountCents: number; note: string },
  act: Act,
): Promise<CreditEntry> {
  const { amountCents } = asked;
  if (amountCents === 0) throw badField("amountCents", "`amountCents` must not be 0.");
  const note = textOf("note", asked.note);
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    await holdAccount(trx, accountId);
    const { entryId } = await adjustCredits(trx, { accountId, amountCents, note }, now);
    const subject = { kind: "credit_entry", id: entryId };
    const entry = { accountId, ...act, action: "credits_adjusted" as const, subject };
    await recordAudit(trx, { ...entry, after: { amountCents, note } }, now);
    await mailAdjusted(trx, config, accountId, { amountCents, note }, now);
    return getCreditEntry(trx, accountId, entryId);
  });
}

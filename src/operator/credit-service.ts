import type { Keep, Kept } from "../accounts/idempotency-service.ts";
import { holdAccount, readGrant } from "../accounts/service.ts";
import { operatorCredential } from "../accounts/token-service.ts";
import { granted } from "../approvals/request-service.ts";
import { type Act, recordAudit } from "../audit/service.ts";
import type { CreditEntry } from "../billing/credit-schemas.ts";
import { adjustCredits, getCreditEntry } from "../billing/credit-service.ts";
import { mailAdjusted } from "../billing/top-up-service.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { textOf } from "../lib/fields.ts";
import { badField } from "../lib/problems.ts";
import type { OperatorDeps } from "./account-service.ts";

/** Under which token the operator's idempotency keys are kept: the account's own for the operator. */
export async function operatorKeyRef(
  db: Db,
  accountId: string,
): Promise<{ accountId: string; tokenId: string }> {
  const { tokenId } = granted(await readGrant(db, await operatorCredential(db, accountId)));
  return { accountId, tokenId };
}

/**
 * Corrects an account's available credits, below zero too (docs/contract.md §5, §8). Audited, and mailed to its owners and
 * approvers.
 * @param asked.amountCents signed, not 0
 * @param keep stores the answer for the call's repeats
 * @throws Problem bad_request {field}
 */
export async function postAdjustment(
  { db, config }: OperatorDeps,
  accountId: string,
  asked: { amountCents: number; note: string },
  act: Act,
  keep: Keep<CreditEntry>,
): Promise<Kept<CreditEntry>> {
  const { amountCents } = asked;
  if (amountCents === 0) throw badField("amountCents", "`amountCents` must not be 0.");
  const note = textOf("note", asked.note);
  return inTransaction(db, async (trx, now) => {
    await holdAccount(trx, accountId);
    const { entryId } = await adjustCredits(trx, { accountId, amountCents, note }, now);
    const subject = { kind: "credit_entry", id: entryId };
    const entry = { accountId, ...act, action: "credits_adjusted" as const, subject };
    await recordAudit(trx, { ...entry, after: { amountCents, note } }, now);
    await mailAdjusted(trx, config, accountId, { amountCents, note }, now);
    return keep(trx, await getCreditEntry(trx, accountId, entryId));
  });
}

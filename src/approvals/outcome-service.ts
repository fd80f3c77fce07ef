import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { sweepEach } from "../jobs/sweep.ts";
import { type Mail, queueMail } from "../mail/service.ts";
import { findForHuman } from "./human-store.ts";
import type { ApprovalMailDeps } from "./mail-service.ts";
import { cameBackMail, movedMail, type Paid, refusedMail } from "./outcome-mails.ts";
import * as store from "./outcome-store.ts";
import { listDeciders } from "./second-signer-store.ts";
import { listSignatures } from "./signature-store.ts";

const ACCOUNTS = 100;
const OUTCOMES = 100;

/**
 * Mails owners and approvers what became of money: it moved, was refused, or came back (docs/contract.md §7). Each
 * outcome is taken and mailed in one transaction, so once, by whichever worker comes first.
 */
export async function sendOutcomeMails(deps: ApprovalMailDeps): Promise<void> {
  const accounts = await store.listAccountsToMail(deps.db, ACCOUNTS);
  await sweepEach(accounts, (accountId) =>
    inTransaction(deps.db, (trx) => mailOutcomes(trx, deps.config, accountId)),
  );
}

async function mailOutcomes(trx: Trx, config: ApprovalMailDeps["config"], accountId: string): Promise<void> {
  const now = await readClock(trx);
  const outcomes = await store.takeOutcomes(trx, accountId, OUTCOMES);
  const deciders = await listDeciders(trx, accountId);
  for (const outcome of outcomes) {
    const row = await findForHuman(trx, [accountId], outcome.approvalId);
    if (row === undefined) continue;
    const paid = { ...row, ...(await readSigners(trx, accountId, row.id)), approvalId: row.id };
    const pending = row.status === "pending";
    for (const { email } of deciders)
      await queueMail(trx, outcomeMail(config, email, paid, outcome, pending), now);
  }
}

function outcomeMail(
  config: ApprovalMailDeps["config"],
  email: string,
  paid: Paid,
  { kind, paymentKind, refusal, reversal }: store.Outcome,
  pending: boolean,
): Mail {
  if (kind === "reversed" && reversal !== null) return cameBackMail(config, email, paid, reversal);
  if (kind === "refused")
    return refusedMail(config, email, paid, { payout: paymentKind === "payout", reason: refusal, pending });
  return movedMail(config, email, paid);
}

/** Who confirmed the last attempt, in the order in which they signed, and what paid. */
async function readSigners(db: Db, accountId: string, approvalId: string) {
  const signatures = await listSignatures(db, accountId, approvalId);
  const [last] = signatures;
  const counted = signatures.filter((one) => one.payment_id === last?.payment_id);
  return {
    signers: [...new Set(counted.map(({ signer }) => signer))].reverse(),
    source: last?.source ?? null,
  };
}

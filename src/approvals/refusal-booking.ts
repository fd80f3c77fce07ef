import * as payments from "../billing/payment-service.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { type BookingDeps, decidePayment, refusedEvent, toExpiredEvent } from "./booking.ts";
import { actWords } from "./mails.ts";
import { type MailedApproval, mailOutcome } from "./outcome-mail-service.ts";
import * as store from "./store.ts";

/**
 * Books a refused charge or payout. The approval can be confirmed again; if its time has passed, it expires now, with
 * its event. The invoice is void.
 * @throws LeaseLost
 */
export async function bookRefusal(
  { db, config }: BookingDeps,
  payment: payments.PaymentRow,
  leaseId: string,
  refusal: { code: string; message: string },
): Promise<void> {
  const { accountId, approvalId } = payment;
  const { code, message } = refusal;
  await inTransaction(db, async (trx) => {
    const now = await payments.readClockAfter(trx, payment);
    const expired = await store.releaseExecuting(trx, accountId, approvalId, now);
    await decidePayment(trx, payment, leaseId, { to: "refused", refusal: { code, message } }, now);
    await payments.closeInvoice(trx, accountId, approvalId, "void");
    const { amountCents, currency } = payment;
    const sum = { amountCents, currency };
    const refused = (approval: MailedApproval) =>
      ({ kind: "refused", act: actWords(approval), why: message, ...sum }) as const;
    // Who gave it up knows.
    if (code !== "canceled") await mailOutcome(trx, config, payment, refused, now);
    await appendEvents(trx, accountId, [...expired.map(toExpiredEvent), refusedEvent(payment, code)], now);
  });
}

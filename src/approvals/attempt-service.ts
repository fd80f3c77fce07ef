import { refundToCredits, releaseHold } from "../billing/credit-service.ts";
import * as payments from "../billing/payment-service.ts";
import type { Processor } from "../billing/processor.ts";
import { holdMilestone } from "../contracts/service.ts";
import type { Trx } from "../database/connection.ts";
import { together } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import type { MailConfig } from "../mail/service.ts";
import { type AnyEvent, heldFor } from "./booking.ts";
import { bookCredits } from "./credit-booking.ts";
import * as store from "./human-store.ts";
import { settleEnd, writeRefund } from "./refund-booking.ts";
import { insertCreditSignatures, insertPaymentSignatures } from "./second-signer-store.ts";
import { payingSource } from "./source-rules.ts";
import { newLease } from "./step-service.ts";

/** The signatures that the action is executed for. */
export type Signatures = readonly { userId: string; digest: Buffer }[];

/**
 * An attempt to drive at once under its lease; `many`: the approval's attempts, which have no lease yet; `done`:
 * credits have paid, no processor is called.
 */
export type Begun = { payment: payments.PaymentRow; leaseId: string } | "many" | "done";

type Row<T extends store.HumanApprovalRow["type"]> = Extract<store.HumanApprovalRow, { type: T }>;
type Beginning = BeginningDeps & {
  trx: Trx;
  signatures: Signatures;
  requested: readonly AnyEvent[];
  now: Date;
};
type BeginningDeps = { processor: Processor; config: MailConfig };

/**
 * Locks the approval's milestones for this action and writes the attempts that execute it, in the transaction that
 * holds the approval. Call it last: it locks the account's head.
 * @param requested the request's own event, if the feed has not reported it yet: it is appended before all others
 * @throws Problem statement_stale, payment_in_progress, payment_disputed {status}, already_decided
 */
export async function beginAction(
  trx: Trx,
  { processor, config }: BeginningDeps,
  row: store.HumanApprovalRow,
  signatures: Signatures,
  requested: readonly AnyEvent[],
  now: Date,
): Promise<Begun> {
  const { accountId, id: approvalId, contractId, milestoneId } = row;
  if (row.disputeStatus !== null) throw new Problem("payment_disputed", { status: row.disputeStatus });
  const subject = milestoneId === null ? { contractId } : { milestoneId };
  const [ending, taken, begun] = await together(
    store.isEnding(trx, accountId, contractId),
    store.takeMilestones(trx, accountId, approvalId, subject, now),
    store.beginExecuting(trx, accountId, approvalId, now),
  );
  if (ending || !taken) throw new Problem("payment_in_progress", subject);
  if (!begun) throw new Problem("already_decided");
  const beginning = { trx, processor, config, signatures, requested, now };
  switch (row.type) {
    case "milestone_fund":
      return payingSource(row)?.kind === "credits"
        ? fundByCredits(beginning, row)
        : beginCharge(beginning, row);
    case "milestone_approve":
      return beginPayout(beginning, row);
    default:
      return beginRefunds(beginning, row);
  }
}

async function beginCharge(beginning: Beginning, row: Row<"milestone_fund">): Promise<Begun> {
  const { trx, processor, now } = beginning;
  const { accountId, id: approvalId, milestoneId, card, terms } = row;
  if (card === null || row.milestoneStatus !== "NOT_FUNDED") throw new Problem("statement_stale");
  const { amountCents, currency } = terms;
  const charge = { accountId, cardId: card.id, amountCents, currency };
  const names = await payments.readNames(trx, accountId);
  const body = processor.composeCharge({ ...charge, ...names, metadata: { approvalId, milestoneId } });
  const lease = newLease(now);
  const money = { kind: "charge", milestoneId, amountCents, currency, cardId: card.id } as const;
  const payment = await writeAttempt(
    beginning,
    row,
    { ...money, sourcePaymentId: null, compose: () => body },
    lease,
  );
  await openInvoice(beginning, row, "FUNDING", payment.id);
  return { payment, leaseId: lease.id };
}

/** One local transaction; the processor is not called. */
async function fundByCredits(
  { trx, config, signatures, requested, now }: Beginning,
  row: Row<"milestone_fund">,
): Promise<Begun> {
  if (row.milestoneStatus !== "NOT_FUNDED") throw new Problem("statement_stale");
  const { accountId, id: approvalId, milestoneId, terms } = row;
  const { amountCents, currency } = terms;
  await bookCredits(
    trx,
    config,
    { accountId, approvalId, milestoneId, amountCents, currency },
    signatures,
    requested,
    now,
  );
  return "done";
}

async function beginPayout(beginning: Beginning, row: Row<"milestone_approve">): Promise<Begun> {
  const { trx, processor, now } = beginning;
  const { accountId, id: approvalId, milestoneId, terms } = row;
  if (row.milestoneStatus !== "ACTIVE_FUNDED") throw new Problem("statement_stale");
  const { amountCents, currency, payout } = terms;
  const [{ databaseId }, source] = await together(
    payments.readNames(trx, accountId),
    payments.findCharge(trx, accountId, milestoneId),
  );
  const sourceIntentId = source?.intentId ?? null;
  const lease = newLease(now);
  const money = { kind: "payout", milestoneId, amountCents, currency, cardId: null } as const;
  const payment = await writeAttempt(
    beginning,
    row,
    {
      ...money,
      sourcePaymentId: source?.id ?? null,
      compose: (attemptId) =>
        processor.composePayout({
          ...{ accountId, destination: payout.account, amountCents, currency, sourceIntentId, databaseId },
          metadata: { attemptId, approvalId, milestoneId },
        }),
    },
    lease,
  );
  await openInvoice(beginning, row, "PAYOUT", payment.id);
  return { payment, leaseId: lease.id };
}

/** One attempt for each refund to a card, without a lease yet. Credits are refunded at once. */
async function beginRefunds(beginning: Beginning, row: Row<"contract_end">): Promise<Begun> {
  const { trx, processor, config, signatures, requested, now } = beginning;
  const { accountId, id: approvalId, contractId, jobId, terms } = row;
  const { databaseId } = await payments.readNames(trx, accountId);
  const events = [...requested];
  for (const { milestoneId, amountCents, currency, to } of terms.refunds) {
    const source = await payments.findCharge(trx, accountId, milestoneId);
    if (to === "credits") {
      const milestone = await holdMilestone(trx, accountId, milestoneId, { alone: true });
      const held = { accountId, approvalId, milestoneId };
      const { entryId } =
        source === undefined
          ? await releaseHold(trx, held, now)
          : await refundToCredits(
              trx,
              { ...held, contractId, jobId, amountCents },
              heldFor(milestoneId),
              now,
            );
      await insertCreditSignatures(trx, { accountId, approvalId, entryId }, signatures);
      const refund = { sentTo: "credits", refundId: entryId } as const;
      events.push(...(await writeRefund(trx, { ...held, amountCents }, milestone, refund, now)));
      continue;
    }
    if (source?.intentId == null) throw new Problem("statement_stale");
    const sourceIntentId = source.intentId;
    const money = { kind: "refund", milestoneId, amountCents, currency, cardId: null } as const;
    await writeAttempt(beginning, row, {
      ...money,
      sourcePaymentId: source.id,
      compose: (attemptId) =>
        processor.composeRefund({
          ...{ accountId, amountCents, currency, sourceIntentId, databaseId },
          metadata: { attemptId, approvalId, milestoneId },
        }),
    });
  }
  await settleEnd(trx, config, { accountId, approvalId }, { contractId, jobId }, events, now);
  return "many";
}

type Money = Pick<
  Parameters<typeof payments.insertPayment>[1],
  "kind" | "milestoneId" | "amountCents" | "currency" | "cardId" | "sourcePaymentId"
> & { compose: (attemptId: string) => Record<string, unknown> };

async function writeAttempt(
  { trx, processor, signatures, now }: Beginning,
  { accountId, id: approvalId }: store.HumanApprovalRow,
  { compose, ...money }: Money,
  lease?: payments.Lease,
): Promise<payments.PaymentRow> {
  const id = newId();
  const payment = { ...money, accountId, id, approvalId, processor: processor.name, body: compose(id) };
  const [written] = await together(
    payments.insertPayment(trx, payment, lease, now),
    insertPaymentSignatures(trx, payment, signatures),
  );
  return written;
}

/** Appends the request's event, too, as the invoice's number locks the account's head. */
async function openInvoice(
  { trx, requested, now }: Beginning,
  row: Row<"milestone_fund" | "milestone_approve">,
  kind: "FUNDING" | "PAYOUT",
  paymentId: string | null,
): Promise<void> {
  const { accountId, id: approvalId, contractId, milestoneId, terms } = row;
  const { amountCents, currency } = terms;
  const subject = { accountId, id: newId(), approvalId, contractId, milestoneId };
  await appendEvents(trx, accountId, requested, now);
  await payments.openInvoice(trx, { ...subject, kind, paymentId, amountCents, currency }, now);
}

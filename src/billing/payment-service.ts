import type { Db } from "../database/connection.ts";
import { centsToDollars } from "../lib/money.ts";
import { listPendingInvoices } from "./invoice-store.ts";
import type { PendingPayment } from "./schemas.ts";

export {
  deleteHandledEvents,
  insertProcessorEvent,
  listDueEvents,
  markEventHandled,
  shortenEventWaits,
  takeEvent,
} from "./event-store.ts";
export { countInDoubt, inDoubtSince, listInDoubt, markInDoubt } from "./in-doubt-store.ts";
export {
  closeInvoice,
  markInvoiceRefunded,
  openInvoice,
  readOpenInvoice,
} from "./invoice-store.ts";
export { insertMovement, type LedgerLine, type Resting, readResting } from "./ledger-store.ts";
export { holdPause, makeDue, type Pause, readHalt, readPause, setPause } from "./pause-store.ts";
export { listDuePayments, shortenPaymentWaits } from "./payment-due-store.ts";
export {
  findCharge,
  findLatestPayment,
  findPayment,
  findPaymentByIntent,
  insertPayment,
  isAttempt,
  type Lease,
  listOpenPayments,
  listPayments,
  markPending,
  type PaymentKey,
  type PaymentRow,
  readClockAfter,
  readNames,
  stepPayment,
  takeLease,
} from "./payment-store.ts";
export { listReversals, type ReversalRow, saveReversal } from "./reversal-store.ts";

const PENDING_LISTED = 100;

/** Confirmed payments of the account that wait, newest first, at most 100 (docs/contract.md §5). */
export async function listPendingPayments(db: Db, accountId: string): Promise<PendingPayment[]> {
  const invoices = await listPendingInvoices(db, accountId, PENDING_LISTED);
  return invoices.map(({ id, kind, amountCents, number, createdAt, jobId, milestoneId, milestoneName }) => ({
    id,
    status: `PENDING_${kind}`,
    invoiceKind: kind,
    viewerRole: "EMPLOYER",
    amountUsd: centsToDollars(amountCents),
    createdAt: createdAt.toISOString(),
    invoiceNumber: number,
    job: { id: jobId, title: null },
    milestone: { id: milestoneId, name: milestoneName },
  }));
}

export {
  deleteHandledEvents,
  insertProcessorEvent,
  listDueEvents,
  markEventHandled,
  takeEvent,
} from "./event-store.ts";
export {
  closeInvoice,
  listPendingInvoices,
  markInvoiceRefunded,
  openInvoice,
  type PendingInvoice,
  readOpenInvoice,
} from "./invoice-store.ts";
export { holdPause, makeDue, type Pause, readPause, setPause } from "./pause-store.ts";
export {
  findCharge,
  findLatestPayment,
  findPayment,
  findPaymentByIntent,
  findPaymentBySent,
  insertMovement,
  insertPayment,
  isAttempt,
  type Lease,
  listDuePayments,
  listInDoubt,
  listOpenPayments,
  listPayments,
  markInDoubt,
  markPending,
  type PaymentKey,
  type PaymentRow,
  readClockAfter,
  readNames,
  readResting,
  stepPayment,
  takeLease,
} from "./payment-store.ts";
export { listReversals, type ReversalRow, saveReversal } from "./reversal-store.ts";

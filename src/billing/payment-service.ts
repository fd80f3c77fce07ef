export {
  deleteHandledEvents,
  insertProcessorEvent,
  listDueEvents,
  markEventHandled,
  shortenEventWaits,
  takeEvent,
} from "./event-store.ts";
export { holdPause, makeDue, type Pause, readPause, setPause } from "./pause-store.ts";
export {
  findLatestPayment,
  findPayment,
  findPaymentByIntent,
  insertInvoice,
  insertMovement,
  insertPayment,
  type Lease,
  listDuePayments,
  listInDoubt,
  listPayments,
  markInDoubt,
  type PaymentKey,
  type PaymentRow,
  readClockAfter,
  readNames,
  shortenPaymentWaits,
  stepPayment,
  takeLease,
} from "./payment-store.ts";
export { listReversals, markInvoiceRefunded, type ReversalRow, saveReversal } from "./reversal-store.ts";

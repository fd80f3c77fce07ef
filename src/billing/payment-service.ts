export {
  deleteHandledEvents,
  insertProcessorEvent,
  listDueEvents,
  markEventHandled,
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
  listPayments,
  markInDoubt,
  type PaymentKey,
  type PaymentRow,
  stepPayment,
  takeLease,
} from "./payment-store.ts";
export { listReversals, markInvoiceRefunded, type ReversalRow, saveReversal } from "./reversal-store.ts";

import { refusalOf } from "../billing/decline-rules.ts";
import { endLostIntent, listLost, searchIntentsOf, searchLostIntents } from "../billing/lost-service.ts";
import type * as payments from "../billing/payment-service.ts";
import type { IntentRecord, IntentState } from "../billing/processor.ts";
import { SECOND } from "../lib/time.ts";
import {
  type Attempt,
  InDoubt,
  KEYS_A_TURN,
  keyOf,
  OPEN,
  type PaymentDeps,
  pass,
  step,
} from "./step-service.ts";
import { isOverdue } from "./store.ts";
import { type Halt, SubmissionHeld, submitAttempt } from "./submission-service.ts";

/** How long a request may search for lost payments, in milliseconds. The sweep continues the search without it. */
const SEARCH_WITHIN = 10 * SECOND;

/**
 * Advances a charge as far as it goes. Never resends a call whose outcome is unknown: reads the intent and continues
 * from its state.
 * @param halt what forbids submitting now
 * @throws what the processor threw: the outcome is unknown
 */
export async function driveCharge(
  deps: PaymentDeps,
  attempt: Attempt,
  halt: Halt | undefined,
): Promise<IntentState> {
  const { payment } = attempt;
  const found = await adoptLost(deps, attempt);
  if (found !== undefined) return found;
  const prepared = payment.intentId ?? (await prepare(deps, attempt));
  if (typeof prepared !== "string") return prepared;
  const intentId = prepared;
  if (payment.status === "created") return submit(deps, attempt, intentId);
  const state = await pass(deps, "call-read", () => deps.processor.read(intentId));
  if (state.status === "unconfirmed")
    return halt === undefined ? execute(deps, payment, intentId) : stopCharge(deps, payment, halt);
  const abandoned =
    state.status === "action_required" &&
    (halt === "frozen" || (await isOverdue(deps.db, payment.accountId, payment.approvalId)));
  return abandoned ? cancelCharge(deps, payment) : state;
}

/** Cancels a charge that has not moved money. @returns its state then */
export async function cancelCharge(
  deps: PaymentDeps,
  { intentId }: payments.PaymentRow,
): Promise<IntentState> {
  if (intentId !== null) return pass(deps, "call-cancel", () => deps.processor.cancel(intentId));
  // It was never prepared, or the answer was lost. An intent whose id is unknown cannot be confirmed.
  return refusalOf("canceled");
}

/**
 * Handles a charge that may not be submitted now. Cancels it if the account is frozen or the approval has expired: no
 * card is charged days after the confirmation. Otherwise it waits.
 */
export async function stopCharge(
  deps: PaymentDeps,
  payment: payments.PaymentRow,
  halt: Halt,
): Promise<IntentState> {
  const { accountId, approvalId } = payment;
  if (halt === "frozen" || (await isOverdue(deps.db, accountId, approvalId)))
    return cancelCharge(deps, payment);
  throw new SubmissionHeld("payments are paused");
}

/**
 * Creates an intent, which moves no money, and stores its id.
 * @returns the intent's id; or the attempt's state, if no intent can be created or a lost one has paid
 */
async function prepare(deps: PaymentDeps, attempt: Attempt): Promise<string | IntentState> {
  const { payment } = attempt;
  const { accountId, body } = payment;
  for (let turn = 1; turn <= KEYS_A_TURN; turn++) {
    const request = { accountId, key: keyOf(payment), body };
    const prepared = await pass(deps, "call-prepare", () => deps.processor.prepare(request));
    if (prepared.status === "refused") return prepared;
    if (prepared.status === "prepared") {
      const { intentId } = prepared;
      await step(deps, "write-intent", attempt, { from: ["created"], to: "created", intentId });
      // The booking reads the id from this row.
      payment.intentId = intentId;
      return intentId;
    }
    await searchIntentsOf(deps, accountId);
    const found = await adoptLost(deps, attempt);
    if (found !== undefined) return found;
    const keyNumber = payment.keyNumber + 1;
    await step(deps, "write-key", attempt, { from: ["created"], to: "created", keyNumber });
    payment.keyNumber = keyNumber;
  }
  throw new Error("the processor has had every key");
}

/**
 * Searches intents that name the milestone and that no payment here has: the database may have lost the last commits.
 * Adopts one that has paid; cancels those that could still pay.
 * @returns the attempt's state; `undefined`: nothing was lost
 * @throws InDoubt if a person must look
 */
async function adoptLost(deps: PaymentDeps, attempt: Attempt): Promise<IntentState | undefined> {
  const { payment } = attempt;
  const found = await pass(deps, "call-search", async () => {
    await searchLostIntents(deps, SEARCH_WITHIN);
    const records: IntentRecord[] = [];
    for (const lost of await listLost(deps.db, payment)) {
      const record = await endLostIntent(deps, lost);
      if (record !== undefined) records.push(record);
    }
    return records;
  });
  const [record, second] = found;
  if (record === undefined) return undefined;
  if (second !== undefined) throw new InDoubt("the processor holds more than one payment of the milestone");
  const { id: intentId, state, amountCents, currency, refundedCents } = record;
  if (state.status !== "succeeded") throw new InDoubt("a payment of the milestone is still being decided");
  if (amountCents !== payment.amountCents || currency !== payment.currency || refundedCents > 0)
    throw new InDoubt("a payment of the milestone is not of this amount, or went back in part");
  if (payment.intentId !== null && (await cancelCharge(deps, payment)).status !== "refused")
    throw new InDoubt("the milestone may have been paid twice");
  await step(deps, "write-submitted", attempt, { from: OPEN, to: "submitted", intentId });
  payment.intentId = intentId;
  return state;
}

/** Money may move from here on, so this is recorded first. */
async function submit(deps: PaymentDeps, attempt: Attempt, intentId: string): Promise<IntentState> {
  const { payment } = attempt;
  const written = await submitAttempt(deps, attempt, { intentId });
  return written === "submitted" ? execute(deps, payment, intentId) : stopCharge(deps, payment, written);
}

function execute(
  deps: PaymentDeps,
  { approvalId }: payments.PaymentRow,
  intentId: string,
): Promise<IntentState> {
  const returnUrl = `${deps.config.publicUrl}/approvals/${approvalId}`;
  return pass(deps, "call-execute", () => deps.processor.execute(intentId, returnUrl));
}

import type Stripe from "stripe";
import { sweepDuePayments } from "../../../src/approvals/jobs.ts";
import { sweepProcessorEvents } from "../../../src/approvals/processor-event-service.ts";
import { listRefunds, listTransfers } from "../../../src/billing/sandbox-outgoing-store.ts";
import { sweepDueTopUps } from "../../../src/billing/top-up-jobs.ts";
import { call } from "../../support/fixtures.ts";
import { SANDBOX } from "../../support/rails.ts";
import { failRefund, reverseTransfer } from "../../support/sandbox-bank.ts";
import { putCard } from "../../support/stories.ts";
import { signatureHeader } from "../../support/stripe/deliveries.ts";
import type { FaultKind } from "../../support/stripe/faults.ts";
import { makeDue } from "../outgoing.ts";
import { type Action, pick } from "./commands.ts";
import type { Run } from "./world.ts";

/** What the processor holds of the run's account. */
export function ofAccount<T extends { metadata: Stripe.Metadata | null }>(
  run: Run,
  all: Map<string, T>,
): T[] {
  return [...all.values()].filter(({ metadata }) => metadata?.accountId === run.accountId);
}

export function disputesOf(run: Run): Stripe.Dispute[] {
  const charges = new Set(ofAccount(run, run.stripe?.books.charges ?? new Map()).map(({ id }) => id));
  return [...(run.stripe?.books.disputes.values() ?? [])].filter(({ charge }) => charges.has(String(charge)));
}

export function refundsOf(run: Run): Stripe.Refund[] {
  const charges = new Set(ofAccount(run, run.stripe?.books.charges ?? new Map()).map(({ id }) => id));
  return [...(run.stripe?.books.refunds.values() ?? [])].filter(({ charge }) => charges.has(String(charge)));
}

/** A charge that has moved money, of a funding or of a top-up. */
function chargeOf(run: Run, which: number): Stripe.Charge | undefined {
  const moved = ofAccount(run, run.stripe?.books.charges ?? new Map<string, Stripe.Charge>()).filter(
    ({ status, amount, amount_refunded }) => status === "succeeded" && amount > amount_refunded,
  );
  return moved.length === 0 ? undefined : pick(moved, which);
}

const dispute: Action = async (run, { which }) => {
  const charge = chargeOf(run, which);
  if (charge === undefined || charge.disputed) return;
  run.note(`${charge.id} is disputed: ${run.stripe?.dispute(charge.id).id}`);
};

const closeDispute: Action = async (run, { which }) => {
  const on = which % 2 === 0;
  const open = disputesOf(run).filter(({ status }) => status === "needs_response");
  if (open.length === 0) return;
  const { id } = pick(open, which);
  run.note(`${id} is ${on ? "won" : "lost"}`);
  run.stripe?.closeDispute(id, on ? "won" : "lost");
};

/** Somebody refunds at the processor's dashboard, all of it or a part. */
const refundThere: Action = async (run, { which, on }) => {
  const charge = chargeOf(run, which);
  if (charge === undefined || charge.disputed) return;
  const left = charge.amount - charge.amount_refunded;
  const refund = run.stripe?.refund(String(charge.payment_intent), on ? left : Math.min(left, 10_000));
  run.note(`${charge.id} is refunded there: ${refund?.id} ${refund?.amount}`);
};

const failRefundThere: Action = async (run, { which }) => {
  if (run.stripe === undefined) {
    const gone = (await listRefunds(run.lane.db, { since: new Date(0) })).filter(
      ({ account_id, status }) => account_id === run.accountId && status === "succeeded",
    );
    if (gone.length === 0) return;
    const { id } = pick(gone, which);
    run.note(`${id} came back`);
    return failRefund(run.lane.db, id, "expired_or_canceled_card");
  }
  const gone = refundsOf(run).filter(({ status }) => status === "succeeded" || status === "pending");
  if (gone.length === 0) return;
  const { id } = pick(gone, which);
  run.note(`${id} fails`);
  run.stripe.failRefund(id);
};

const reverse: Action = async (run, { which }) => {
  if (run.stripe === undefined) {
    const sent = (await listTransfers(run.lane.db, { since: new Date(0) })).filter(
      ({ account_id, status, returned_cents }) =>
        account_id === run.accountId && status === "paid" && returned_cents === 0,
    );
    if (sent.length === 0) return;
    const { id } = pick(sent, which);
    run.note(`${id} came back`);
    return reverseTransfer(run.lane.db, id);
  }
  const sent = ofAccount(run, run.stripe.books.transfers).filter(({ reversed }) => !reversed);
  if (sent.length === 0) return;
  const { id } = pick(sent, which);
  run.note(`${id} is reversed`);
  run.stripe.reverseTransfer(id);
};

function eventsOf(run: Run): Stripe.Event[] {
  const { books } = run.stripe ?? {};
  const ids = [run.accountId, ...ofAccount(run, books?.charges ?? new Map()).map(({ id }) => id)];
  return [...(books?.events.values() ?? [])]
    .slice(run.eventsBefore)
    .map(({ event }) => event)
    .filter(({ data }) => {
      const text = JSON.stringify(data.object);
      return ids.some((id) => text.includes(id));
    });
}

/** Delivers one event of the processor's, perhaps again, and in no order. */
const deliver: Action = async (run, { which, milestone, app }) => {
  const events = eventsOf(run);
  if (events.length > 0) await deliverOne(run, pick(events.reverse(), which * 4 + milestone), app);
};

async function deliverOne(run: Run, event: Stripe.Event, app: 0 | 1): Promise<void> {
  const body = JSON.stringify(event);
  const headers = {
    "content-type": "application/json",
    "stripe-signature": signatureHeader(body, run.stripe?.webhookSecret ?? ""),
  };
  const { status } = await call(run.lane.apps[app], "POST", "/stripe/webhook", { body, headers });
  run.note(`event ${event.type} ${status}`);
  run.delivered.add(event.id);
  if (status !== 200) throw new Error(`an event was answered ${status}`);
}

/** Delivers all that were not delivered yet. */
export async function deliverAll(run: Run): Promise<void> {
  for (const event of eventsOf(run)) if (!run.delivered.has(event.id)) await deliverOne(run, event, 0);
}

/** Something goes wrong on the way to the processor, of the next request of this kind about the account. */
const spoil: Action = async (run, { which, on }) => {
  const on_ = pick(ENDPOINTS, which);
  const does = pick(FAULTS, which + (on ? 0 : 1));
  const planned = run.stripe?.plan({
    on: on_,
    does,
    when: on ? "after" : "before",
    about: run.accountId,
    times: 2,
  });
  if (planned === undefined) return;
  run.faults.push(planned);
  run.note(`${on_} will ${does}`);
};
const ENDPOINTS = [
  "POST /v1/payment_intents",
  "POST /v1/payment_intents/:id/confirm",
  "POST /v1/transfers",
  "POST /v1/refunds",
  "POST /v1/checkout/sessions",
  "GET /v1/payment_intents/:id",
] as const;
const FAULTS: FaultKind[] = ["reset", "error", "unavailable", "rate_limit", "processing"];

const changeCard: Action = async (run, { which }) => {
  const { rails, apps } = run.lane;
  const plain = rails.cards.pays;
  const sandbox = ["pm_card_pendingRefund", "pm_sandbox_refund_refused", "pm_sandbox_timeout"] as const;
  const own =
    rails.name === SANDBOX.name ? sandbox : (["pm_card_pendingRefund", "pm_card_refundFail"] as const);
  const card = pick([plain, rails.cards.declines, rails.cards.authenticates, plain, ...own], which);
  const answer = await putCard(apps[0], run.fixture.account, card).catch(() => "refused");
  run.note(`card ${JSON.stringify(card)} ${answer ?? ""}`);
};

/** A turn of the sweeps, as if every lease and every wait of the account were over. */
export async function sweep(run: Run): Promise<void> {
  const { db, deps } = run.lane;
  const { accountId } = run;
  const past = new Date(0);
  await makeDue(db, accountId);
  await db
    .updateTable("top_ups")
    .set({ due_at: past })
    .where("account_id", "=", accountId)
    .where("status", "=", "PENDING")
    .execute();
  await db.updateTable("processor_events").set({ due_at: past }).where("handled_at", "is", null).execute();
  await sweepDuePayments(deps, deps.logger);
  await sweepDueTopUps(deps, deps.logger);
  await sweepProcessorEvents(deps);
}

const sweepNow: Action = async (run) => {
  run.note("sweep");
  await sweep(run);
};

/** What happens at the processor, at banks, on the way, and by itself. */
export const HAPPENING = {
  dispute: { action: dispute, weight: 5 },
  closeDispute: { action: closeDispute, weight: 5 },
  refundThere: { action: refundThere, weight: 4 },
  failRefundThere: { action: failRefundThere, weight: 4 },
  reverse: { action: reverse, weight: 5 },
  deliver: { action: deliver, weight: 10 },
  spoil: { action: spoil, weight: 3 },
  changeCard: { action: changeCard, weight: 3 },
  sweep: { action: sweepNow, weight: 6 },
};

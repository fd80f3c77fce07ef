import { sql } from "kysely";
import Stripe from "stripe";
import { cancelPayment } from "../../../src/approvals/advance-service.ts";
import { confirmApproval, declineApproval } from "../../../src/approvals/decision-service.ts";
import { findForHuman } from "../../../src/approvals/human-store.ts";
import { statementOf } from "../../../src/approvals/statement-rules.ts";
import { BOUNDARIES, type BoundaryObserver } from "../../../src/billing/boundaries.ts";
import { advanceTopUp, openCheckout } from "../../../src/billing/checkout-service.ts";
import { NO_ORIGIN } from "../../../src/lib/origin.ts";
import { Problem, type ProblemName } from "../../../src/lib/problems.ts";
import { type Decision, statementDigest } from "../../../src/lib/statement.ts";
import { ownerOf } from "../../support/owner.ts";
import { payPage } from "../../support/top-ups.ts";
import { type Action, type Fields, pick } from "./commands.ts";
import type { Run } from "./world.ts";

/** What a person may be told: that it is too late, or not now. */
const TOLD: ReadonlySet<ProblemName> = new Set<ProblemName>([
  "statement_stale",
  "already_decided",
  "payment_in_progress",
  "payment_disputed",
  "payments_paused",
  "account_frozen",
  "top_up_ended",
]);

/** Whether something went wrong on the way to the processor, as it may: the outcome is not known then. */
export function isLost(error: unknown): boolean {
  return (
    error instanceof Stripe.errors.StripeError ||
    /lost on the way|is not a|cannot be read/.test(String(error))
  );
}

async function attempt(run: Run, what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    run.note(what);
  } catch (error) {
    run.note(`${what}: ${error instanceof Problem ? error.problem : error}`);
    if (error instanceof Problem ? !TOLD.has(error.problem) : !isLost(error)) throw error;
  }
}

/** A process that ends at a boundary, if the command says so: whatever it was about to do never happens. */
async function untilDeath(
  { dies, which }: Fields,
  work: (boundaries: BoundaryObserver) => Promise<void>,
): Promise<void> {
  const boundary = dies ? pick(BOUNDARIES, which * 7 + dies) : undefined;
  const moment = dies % 2 === 0 ? "before" : "after";
  const { promise: death, resolve } = Promise.withResolvers<void>();
  const boundaries: BoundaryObserver = (at, side) => {
    if (at !== boundary || side !== moment) return undefined;
    resolve();
    return new Promise<never>(() => {});
  };
  await Promise.race([work(boundaries), death]);
}

const decide =
  (decision: Decision): Action =>
  async (run, fields) => {
    const pending = await run.lane.db
      .selectFrom("approvals")
      .where("account_id", "=", run.accountId)
      .where("status", "=", "pending")
      .select("id")
      .orderBy("id", "desc")
      .execute();
    const ids = pending.length === 0 ? run.approvals : pending.map(({ id }) => id);
    if (ids.length > 0) await decideNow(run, pick(ids, fields.which), decision, fields);
  };

/** One person decides what the page would show now. */
export async function decideNow(
  run: Run,
  approvalId: string,
  decision: Decision,
  fields: Fields,
): Promise<void> {
  const { lane, accountId } = run;
  const { actor, name } = pick(run.people, fields.milestone);
  const row = await findForHuman(lane.db, [accountId], approvalId);
  if (row === undefined) throw new Error(`no approval ${approvalId}`);
  // Their page shows no button then.
  if (row.type === "milestone_fund" && row.card === null) return;
  const nonce = String(run.next());
  const signed = { nonce, digest: statementDigest(statementOf(row, decision, nonce)) };
  const presence = { kind: "password" as const, provedAt: new Date() };
  const decider = { actor, name, origin: NO_ORIGIN, presence };
  const key = { accountId, approvalId };
  await attempt(run, `${decision} ${row.type} ${approvalId}`, () =>
    decision === "decline"
      ? declineApproval(lane.deps, key, decider, signed, "No")
      : untilDeath(fields, (boundaries) =>
          confirmApproval({ ...lane.deps, boundaries }, key, decider, signed),
        ),
  );
}

/** The person answers their bank, or gives the payment up. */
const answerBank: Action = async (run, { which, on }) => {
  const { lane, accountId } = run;
  const waiting = await lane.db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("status", "=", "action_required")
    .select(["id", "intent_id as intentId"])
    .execute();
  if (waiting.length === 0) return;
  const { id, intentId } = pick(waiting, which);
  if (which % 3 === 0)
    return attempt(run, `give ${id} up`, () =>
      cancelPayment(lane.deps, { accountId, id }, run.people[0]?.actor),
    );
  run.note(`${id}: the bank is told ${on}`);
  await lane.rails.answerBank(lane.db, intentId ?? "", on).catch(() => {});
};

function topUpOf(run: Run, which: number): { accountId: string; id: string } | undefined {
  return run.topUps.length === 0 ? undefined : { accountId: run.accountId, id: pick(run.topUps, which) };
}

const openPage: Action = async (run, { milestone, which }) => {
  const key = topUpOf(run, which);
  if (key === undefined) return;
  const { actor } = pick(run.people, milestone);
  await attempt(run, `open top-up ${key.id}`, () => openCheckout(run.lane.deps, key, actor));
};

/** The person pays on the processor's page: perhaps in the very moment in which it ends. */
const payTopUp: Action = async (run, { which, on }) => {
  const { db, deps } = run.lane;
  const key = topUpOf(run, which);
  if (key === undefined) return;
  const pages = await Array.fromAsync(
    deps.processor.checkout.list({ since: new Date(0), accountId: run.accountId }),
  );
  const page = pages.find(({ topUpId, state }) => topUpId === key.id && state.status === "open");
  if (page === undefined) return;
  run.note(`top-up ${key.id} is paid on ${page.id}`);
  if (on) await payPage(db, run.stripe, page.id);
  else await Promise.all([payPage(db, run.stripe, page.id), lapseTopUp(run, key.id)]);
};

const lookAtTopUp: Action = async (run, { which }) => {
  const key = topUpOf(run, which);
  if (key !== undefined) await attempt(run, `look at ${key.id}`, () => advanceTopUp(run.lane.deps, key));
};

const lapse: Action = async (run, { which }) => {
  const key = topUpOf(run, which);
  if (key !== undefined) await lapseTopUp(run, key.id);
};

/** Puts the end of a top-up into the past, which the database lets nobody do who does not switch its triggers off. */
async function lapseTopUp({ lane, accountId, history }: Run, id: string): Promise<void> {
  history.push(`top-up ${id} has expired`);
  await ownerOf(lane.db)
    .transaction()
    .execute(async (trx) => {
      await sql`set local session_replication_role = replica`.execute(trx);
      await sql`
        update top_ups set created_at = now() - interval '25 hours', expires_at = now() - interval '1 hour',
          due_at = now() - interval '1 hour'
        where account_id = ${accountId} and id = ${id} and status = 'PENDING'`.execute(trx);
    });
}

/** What people do. */
export const DECIDING = {
  confirm: { action: decide("confirm"), weight: 22 },
  decline: { action: decide("decline"), weight: 1 },
  answerBank: { action: answerBank, weight: 4 },
  openPage: { action: openPage, weight: 3 },
  payTopUp: { action: payTopUp, weight: 3 },
  lookAtTopUp: { action: lookAtTopUp, weight: 1 },
  lapse: { action: lapse, weight: 1 },
};

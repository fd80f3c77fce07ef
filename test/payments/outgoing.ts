import { sql } from "kysely";
import { advancePayment, type PaymentDeps } from "../../src/approvals/advance-service.ts";
import type { Db } from "../../src/database/connection.ts";
import type { App } from "../../src/http/app.ts";
import { newId } from "../../src/lib/ids.ts";
import { cloneDatabase } from "../support/clones.ts";
import { askEnd, askRelease, createEscrow, type Escrow, setPayoutAccount } from "../support/escrow.ts";
import { createMilestone, MARIA, operate } from "../support/fixtures.ts";
import { openRails, type Rails } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { ask, confirmNow, type Stories, type Story } from "../support/stories.ts";
import { NO_ACCOUNT } from "../support/stripe/transfers.ts";
import type { Crossing, How, OutgoingKind } from "./crossings.ts";

export type Played = { name: string; rails: Rails; app: App; db: Db; deps: PaymentDeps };
export type World = Played & { url: string };

/** A service over each of the rails, for the test file alone. */
export async function openWorlds(): Promise<World[]> {
  return Promise.all(
    (await openRails()).map(async (rails) => {
      const url = await cloneDatabase();
      const { app, db, config } = await startService({}, url, rails);
      return { name: rails.name, rails, url, app, db, deps: { db, config, processor: rails.open(db) } };
    }),
  );
}

/** What a rail cannot play: a Transfer is there at once, or not at all. */
export function isPlayed({ name }: Played, kind: OutgoingKind, how: How): boolean {
  return name === "sandbox"
    ? !(kind === "refund" && how === "fails later")
    : kind === "refund" || !/pending|later/.test(how);
}

/** Stripe's client sends once more by itself what a reset has cut off. */
const ALWAYS = Number.POSITIVE_INFINITY;
const SANDBOX_ACCOUNTS: Partial<Record<How, string>> = {
  loses: "acct_sandbox_timeout",
  refused: "acct_sandbox_closed",
  pending: "acct_sandbox_pending",
  "fails later": "acct_sandbox_fails_later",
};
const SANDBOX_CARDS: Partial<Record<How, string>> = {
  loses: "pm_sandbox_timeout",
  refused: "pm_sandbox_refund_refused",
  pending: "pm_card_pendingRefund",
};

/** A funded milestone and what is asked of it, at a processor that will behave so. */
export async function createOutgoing(
  world: Played,
  kind: OutgoingKind,
  how: How,
): Promise<Escrow & { story: Story }> {
  const { app, deps } = world;
  const escrow = await createEscrow(app, deps);
  await spoil(world, escrow, kind, how);
  const story = await (kind === "payout" ? askRelease : askEnd)(app, escrow);
  return { ...escrow, story };
}

/**
 * So many funded milestones of one account and what its person is asked for each, at a processor that will behave so. A
 * refund's milestone has a contract of its own.
 */
export async function createMany(
  world: Played,
  kind: OutgoingKind,
  how: How,
  count: number,
): Promise<Stories> {
  const { app, deps } = world;
  const escrow = await createEscrow(app, deps, { count: kind === "payout" ? count : 1 });
  const { fixture, human } = escrow;
  const contracts = [escrow];
  for (let i = 2; kind === "refund" && i <= count; i++) {
    const next = { ...fixture, contract: `${fixture.contract}-${i}`, milestone: `${fixture.milestone}-${i}` };
    await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${next.contract}`, {
      ...{ title: "Street scenes", jobId: "job-1", paymentType: "FIXED_PRICE", freelancer: MARIA },
    });
    await createMilestone(app, next, next.milestone);
    await confirmNow(deps, await ask(app, next, next.milestone));
    contracts.push({ ...escrow, fixture: next, milestones: [next.milestone] });
  }
  await spoil(world, escrow, kind, how);
  const stories: Story[] = [];
  if (kind === "payout")
    for (const i of escrow.milestones.keys()) stories.push(await askRelease(app, escrow, i));
  else for (const one of contracts) stories.push(await askEnd(app, one));
  return { fixture, human, stories };
}

async function spoil(
  { app, db, rails }: Played,
  escrow: Escrow,
  kind: OutgoingKind,
  how: How,
): Promise<void> {
  const { fixture, accountId } = escrow;
  const { stripe } = rails;
  if (kind === "payout") {
    // An account of its own, by which a fault at Stripe knows its request.
    const own = `acct_1${newId().replaceAll("-", "")}`;
    const account = stripe ? (how === "refused" ? NO_ACCOUNT : own) : (SANDBOX_ACCOUNTS[how] ?? own);
    await setPayoutAccount(app, fixture, account);
    if (stripe && how === "loses")
      stripe.plan({ on: "POST /v1/transfers", does: "reset", when: "after", about: own, times: ALWAYS });
    return;
  }
  if (stripe === undefined) {
    const method = SANDBOX_CARDS[how];
    if (method !== undefined)
      await sql`update sandbox.payment_methods set test_method = ${method} where account_id = ${accountId}`.execute(
        db,
      );
    return;
  }
  if (how === "loses")
    stripe.plan({ on: "POST /v1/refunds", does: "reset", when: "after", about: accountId, times: ALWAYS });
  for (const { intent } of stripe.books.intents.values()) {
    if (intent.metadata.accountId !== accountId) continue;
    const method = stripe.books.methods.get(String(intent.payment_method));
    if (method && how !== "loses" && how !== "pays") method.behaves = "pm_card_pendingRefund";
  }
}

/** What a death leaves in the database is what a hold for ever leaves there. */
export async function holdAt(
  deps: PaymentDeps,
  crossing: Crossing,
  work: (deps: PaymentDeps) => Promise<unknown>,
): Promise<void> {
  const stands = Promise.withResolvers<void>();
  const boundaries = (boundary: string, moment: string) => {
    if (`${boundary}:${moment}` !== crossing) return undefined;
    stands.resolve();
    return new Promise<never>(() => {});
  };
  void work({ ...deps, boundaries }).then(
    () => stands.reject(new Error(`it did not come to ${crossing}`)),
    // What an answer that is lost throws comes after the crossing, or it never comes there.
    (error: unknown) => stands.reject(new Error(`it did not come to ${crossing}`, { cause: error })),
  );
  await stands.promise;
}

/** As if the leases' 40 seconds were over. */
export async function makeDue(db: Db, accountId: string): Promise<void> {
  await sql`
    update payments set leased_until = now() - interval '1 second', due_at = now() - interval '1 second'
    where account_id = ${accountId} and status not in ('succeeded', 'refused')`.execute(db);
}

/** What a turn of the sweep does with the account's attempts, and with no other's. */
export async function sweep(deps: PaymentDeps, accountId: string): Promise<void> {
  await makeDue(deps.db, accountId);
  for (const payment of await openOf(deps.db, accountId)) await advancePayment(deps, payment).catch(() => {});
}

function openOf(db: Db, accountId: string): Promise<{ accountId: string; id: string }[]> {
  return db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("status", "not in", ["succeeded", "refused"])
    .select(["account_id as accountId", "id"])
    .execute();
}

/** What a bank says at Stripe of the account's refunds that it was asked for. */
export function answerRefunds({ rails }: Played, accountId: string, how: How): void {
  for (const refund of rails.stripe?.books.refunds.values() ?? []) {
    if (refund.metadata?.accountId !== accountId || refund.status !== "pending") continue;
    if (how === "refused" || how === "fails later") rails.stripe?.failRefund(refund.id);
    else rails.stripe?.settleRefund(refund.id);
  }
}

/** Sweeps until nothing of the account is open; at Stripe a bank answers meanwhile what it was asked. */
export async function settle(world: Played, accountId: string, how: How): Promise<void> {
  const { deps } = world;
  for (let turn = 1; turn <= 10; turn++) {
    await sweep(deps, accountId);
    if ((await openOf(deps.db, accountId)).length === 0) return;
    answerRefunds(world, accountId, how);
  }
  throw new Error("an attempt is still open");
}

export { confirmNow };

/** How much the processor has sent for an account, and not had back, by its own record. */
export async function sentFor(
  { deps: { processor } }: Played,
  accountId: string,
): Promise<{ payouts: number; refunds: number }> {
  const count = async (outgoing: PaymentDeps["processor"]["payouts"]) => {
    const all = await Array.fromAsync(outgoing.list({ since: new Date(0) }));
    return all.filter((one) => one.accountId === accountId && one.state.status === "succeeded").length;
  };
  return { payouts: await count(processor.payouts), refunds: await count(processor.refunds) };
}

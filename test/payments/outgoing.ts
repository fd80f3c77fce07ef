import { sql } from "kysely";
import { advancePayment, type PaymentDeps } from "../../src/approvals/advance-service.ts";
import type { Db } from "../../src/database/connection.ts";
import type { App } from "../../src/http/app.ts";
import { newId } from "../../src/lib/ids.ts";
import { askEnd, askRelease, createEscrow, type Escrow, setPayoutAccount } from "../support/escrow.ts";
import { openRails, type Rails } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { confirmNow, type Story } from "../support/stories.ts";
import { NO_ACCOUNT } from "../support/stripe/transfers.ts";
import type { Crossing, How, OutgoingKind } from "./crossings.ts";

export type World = { name: string; rails: Rails; app: App; db: Db; deps: PaymentDeps };

/** A service over each of the rails, for the test file alone. */
export async function openWorlds(): Promise<World[]> {
  return Promise.all(
    (await openRails()).map(async (rails) => {
      const { app, db, config } = await startService({}, undefined, rails);
      return { name: rails.name, rails, app, db, deps: { db, config, processor: rails.open(db) } };
    }),
  );
}

/** What a rail cannot play: a Transfer is there at once, or not at all. */
export function isPlayed({ name }: World, kind: OutgoingKind, how: How): boolean {
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
  world: World,
  kind: OutgoingKind,
  how: How,
): Promise<Escrow & { story: Story }> {
  const { app, deps } = world;
  const escrow = await createEscrow(app, deps);
  await spoil(world, escrow, kind, how);
  const story = await (kind === "payout" ? askRelease : askEnd)(app, escrow);
  return { ...escrow, story };
}

async function spoil({ app, db, rails }: World, escrow: Escrow, kind: OutgoingKind, how: How): Promise<void> {
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
  const intent = [...stripe.books.intents.values()].find(
    (held) => held.intent.metadata.accountId === accountId,
  )?.intent;
  if (how === "loses")
    stripe.plan({
      on: "POST /v1/refunds",
      does: "reset",
      when: "after",
      about: intent?.id ?? "",
      times: ALWAYS,
    });
  const method = stripe.books.methods.get(String(intent?.payment_method));
  if (method && how !== "loses" && how !== "pays") method.behaves = "pm_card_pendingRefund";
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

/** Sweeps until nothing of the account is open; at Stripe a bank answers meanwhile what it was asked. */
export async function settle({ deps, rails }: World, accountId: string, how: How): Promise<void> {
  for (let turn = 1; turn <= 10; turn++) {
    await sweep(deps, accountId);
    if ((await openOf(deps.db, accountId)).length === 0) return;
    for (const refund of rails.stripe?.books.refunds.values() ?? []) {
      if (refund.metadata?.accountId !== accountId || refund.status !== "pending") continue;
      if (how === "refused" || how === "fails later") rails.stripe?.failRefund(refund.id);
      else rails.stripe?.settleRefund(refund.id);
    }
  }
  throw new Error("an attempt is still open");
}

export { confirmNow };

/** How much the processor has sent for an account, and not had back, by its own record. */
export async function sentFor(
  { deps: { processor } }: World,
  accountId: string,
): Promise<{ payouts: number; refunds: number }> {
  const count = async (outgoing: PaymentDeps["processor"]["payouts"]) => {
    const all = await Array.fromAsync(outgoing.list({ since: new Date(0) }));
    return all.filter((one) => one.accountId === accountId && one.state.status === "succeeded").length;
  };
  return { payouts: await count(processor.payouts), refunds: await count(processor.refunds) };
}

import { sql } from "kysely";
import { receiveProcessorEvent } from "../../../src/approvals/processor-event-service.ts";
import { listRefunds, listTransfers } from "../../../src/billing/sandbox-outgoing-store.ts";
import { newId } from "../../../src/lib/ids.ts";
import { endContract } from "../../support/escrow.ts";
import { call } from "../../support/fixtures.ts";
import { OPERATOR_KEY } from "../../support/service.ts";
import { putCard } from "../../support/stories.ts";
import { decideNow } from "./deciding.ts";
import { deliverAll, disputesOf, ofAccount, refundsOf, sweep } from "./happening.ts";
import type { Run } from "./world.ts";

const TURNS = 25;
const PLENTY = 1_000_000_00;
const CALM = { milestone: 0, which: 0, on: true, app: 0 as const, dies: 0 };

/** Nothing is held up any more, banks answer, and the sweeps go on until nothing is open. */
export async function comeToRest(run: Run): Promise<void> {
  const { lane, fixture, stripe } = run;
  for (const fault of run.faults.splice(0)) fault.lift();
  // Credits that the operator gave have brought no money there.
  stripe?.addBalance(PLENTY);
  await call(lane.apps[0], "PUT", "/api/operator/v1/pause", {
    token: OPERATOR_KEY,
    body: { paymentsPaused: false },
  });
  await run.operate("", "PUT", { frozen: false });
  run.note("rest");
  for (let turn = 1; turn <= TURNS; turn++) {
    for (const intentId of processing(run)) stripe?.settle(intentId);
    for (const { id, status } of refundsOf(run)) if (status === "pending") stripe?.settleRefund(id);
    await answerBanks(run);
    await deliverAll(run);
    await tellOfSandbox(run);
    await sweep(run);
    if ((await countOpen(run)) === 0) return stripe?.addBalance(-PLENTY);
  }
  throw new Error(`something is still open of ${fixture.account}`);
}

function processing(run: Run): string[] {
  return ofAccount(
    run,
    new Map([...(run.stripe?.books.intents ?? [])].map(([id, { intent }]) => [id, intent])),
  )
    .filter(({ status }) => status === "processing")
    .map(({ id }) => id);
}

async function answerBanks({ lane, accountId }: Run): Promise<void> {
  const waiting = await lane.db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("status", "=", "action_required")
    .select("intent_id as intentId")
    .execute();
  for (const { intentId } of waiting)
    await lane.rails.answerBank(lane.db, intentId ?? "", true).catch(() => {});
}

/** What Stripe would tell by an event of its own. */
async function tellOfSandbox({ lane, accountId, stripe }: Run): Promise<void> {
  if (stripe !== undefined) return;
  const nothing = { type: "", intentId: null, setupId: null, sessionId: null, accountId: null };
  const tell = (kind: "payout" | "refund", id: string) =>
    receiveProcessorEvent(lane.deps, { id: newId(), ...nothing, sent: { kind, id } });
  for (const [kind, list] of [
    ["payout", listTransfers],
    ["refund", listRefunds],
  ] as const)
    for (const row of await list(lane.db, { since: new Date(0) }))
      if (row.account_id === accountId && row.returned_cents > 0) await tell(kind, row.id);
}

async function countOpen({ lane, accountId }: Run): Promise<number> {
  const { rows } = await sql<{ open: number }>`
    select (select count(*) from payments where account_id = ${accountId} and status not in ('succeeded', 'refused'))
      + (select count(*) from processor_events where handled_at is null) as open`.execute(lane.db);
  return rows[0]?.open ?? 0;
}

/**
 * Ends every contract, once all disputes are decided: money that is held is never without a way out (docs/design.md,
 * invariant 14).
 */
export async function leave(run: Run): Promise<void> {
  const { lane, fixture, stripe, contracts, people } = run;
  for (const { id, status } of disputesOf(run))
    if (status === "needs_response") stripe?.closeDispute(id, "won");
  await putCard(lane.apps[0], fixture.account, lane.rails.cards.pays);
  await comeToRest(run);
  run.note("leave");
  for (const contract of contracts) {
    const { status, body, text } = await endContract(lane.apps[0], fixture.token, contract);
    if (status === 409 && body.details.reason === "contract_ended") continue;
    if (status !== 200 && status !== 202) throw new Error(`${contract} cannot end: ${text}`);
    if (status === 200) continue;
    for (const i of people.keys())
      await decideNow(run, body.approval.id, "confirm", { ...CALM, milestone: i });
    await comeToRest(run);
  }
}

/** What is wrong with the run's money, one line a fault; beside what `findDisagreements` sees in the whole database. */
export async function findMoneyFaults(run: Run, { left }: { left: boolean }): Promise<string[]> {
  const { lane, accountId } = run;
  const faults: string[] = [];
  const { rows } = await sql<{ said: string }>`
    select 'more than one success of an approval for a milestone: ' || approval_id || ' ' || milestone_id as said
    from payments where account_id = ${accountId} and status = 'succeeded'
    group by approval_id, milestone_id having count(*) > 1
    union all
    select 'an approval that is executing: ' || id from approvals
    where account_id = ${accountId} and executing_at is not null
    union all
    select 'held under a contract that has ended: ' || m.id from milestones m
    join contracts c on c.account_id = m.account_id and c.id = m.contract_id
    where m.account_id = ${accountId} and m.status = 'ACTIVE_FUNDED' and (c.status = 'ended' or ${left})
    union all
    select 'the ledger sums to ' || sum(amount_cents) from ledger_entries where account_id = ${accountId}
    having sum(amount_cents) <> 0`.execute(lane.db);
  faults.push(...rows.map(({ said }) => said));
  const booked = await sql<{ cents: number }>`
    select coalesce(sum(amount_cents), 0)::bigint as cents from ledger_entries
    where account_id = ${accountId} and ledger_account = 'processor'`.execute(lane.db);
  const there = await balanceThere(run);
  const here = booked.rows[0]?.cents;
  if (here !== there) faults.push(`the processor holds ${there} of the account, the ledger says ${here}`);
  const bad = lane.log
    .splice(0)
    .filter(
      ({ err }) =>
        err !== undefined && !/Stripe|InDoubt/.test(err.type) && !/lost on the way/.test(err.message),
    );
  faults.push(...bad.map(({ msg, err }) => `logged: ${msg}: ${err?.type} ${err?.message}`));
  return faults;
}

/** What the processor holds of the account's money, in cents and before its fees. */
async function balanceThere(run: Run): Promise<number> {
  const { lane, accountId, stripe } = run;
  if (stripe === undefined) {
    const { rows } = await sql<{ cents: number }>`
      select (
        (select coalesce(sum(amount_cents), 0) from sandbox.charges where account_id = ${accountId} and status = 'succeeded')
        - (select coalesce(sum(amount_cents), 0) from sandbox.refunds where account_id = ${accountId} and status <> 'failed')
        - (select coalesce(sum(amount_cents - reversed_cents), 0) from sandbox.transfers where account_id = ${accountId})
      )::bigint as cents`.execute(lane.db);
    return rows[0]?.cents ?? 0;
  }
  const sum = (all: readonly number[]): number => all.reduce((total, one) => total + one, 0);
  return (
    sum(
      ofAccount(run, stripe.books.charges).map(({ status, amount }) => (status === "succeeded" ? amount : 0)),
    ) -
    sum(refundsOf(run).map(({ status, amount }) => (status === "failed" ? 0 : amount))) -
    sum(disputesOf(run).map(({ status, amount }) => (status === "won" ? 0 : amount))) -
    sum(ofAccount(run, stripe.books.transfers).map(({ amount, amount_reversed }) => amount - amount_reversed))
  );
}

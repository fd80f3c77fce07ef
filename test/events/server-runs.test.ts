import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import type { Db } from "../../src/database/connection.ts";
import { sweepOldEvents } from "../../src/events/jobs.ts";
import { extendOperatorFeed } from "../../src/events/operator-service.ts";
import { auditAccounts } from "../../src/receipts/audit-service.ts";
import type { Receipt } from "../../src/receipts/schemas.ts";
import { verifyChain } from "../../src/receipts/verifier.ts";
import { findFaults } from "../support/books.ts";
import { backUpDatabase, cloneDatabase } from "../support/clones.ts";
import { call, createFixture, createMilestone, fund, operate } from "../support/fixtures.ts";
import { ownerOf } from "../support/owner.ts";
import { createChain, declineNow, readReceipt } from "../support/receipts.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService, type TestService } from "../support/service.ts";
import { confirmNow, type Story } from "../support/stories.ts";

const BILLION = 1_000_000_000;

const updates = async ({ app }: TestService, token: string, cursor = "0") =>
  (await call(app, "GET", `/updates?limit=200&cursor=${cursor}`, { token })).body;
const operatorUpdates = async ({ app, db }: TestService, cursor = "0") => {
  await extendOperatorFeed(db);
  const url = `/api/operator/v1/updates?limit=200&cursor=${cursor}`;
  return (await call(app, "GET", url, { token: OPERATOR_KEY })).body;
};
const depsOf = ({ db, config }: TestService) => ({ db, config, processor: createSandbox(db, PUBLIC_URL) });
const numbersOf = (page: { events: { id: string }[] }) => page.events.map(({ id }) => Number(id));

async function findings(db: Db, kept = new Map()): Promise<string[]> {
  return (await Array.fromAsync(auditAccounts(db, kept))).flatMap((audit) => audit.findings);
}

/** A service, a backup of its database, and what went on after the backup and is lost by restoring it. */
async function restoreAfter(goOn: (service: TestService, chain: Chain) => Promise<void>) {
  const url = await cloneDatabase();
  const service = await startService({}, url);
  const chain = await createChain(service, 4);
  await declineNow(service, chain.stories[0] as Story);
  await operatorUpdates(service);
  const backup = await backUpDatabase(url);
  await goOn(service, chain);
  return { service, restored: await startService({}, backup), backup, chain };
}
type Chain = Awaited<ReturnType<typeof createChain>>;

describe("after a restore that lost what was committed last", () => {
  test("no number names two events, and a reader of the lost ones misses no new one", async () => {
    let read = { events: [] as { id: string }[], nextCursor: "" };
    let operatorRead = read;
    const { restored, chain } = await restoreAfter(async (service, { token, stories }) => {
      await declineNow(service, stories[1] as Story);
      read = await updates(service, token);
      operatorRead = await operatorUpdates(service);
    });
    const { token, stories } = chain;
    // Before anything new has happened, they are told that there is nothing, and keep their place.
    expect(await updates(restored, token, read.nextCursor)).toMatchObject({
      events: [],
      nextCursor: read.nextCursor,
      hasMore: false,
    });
    await declineNow(restored, stories[2] as Story);
    const next = await updates(restored, token, read.nextCursor);
    expect(next.events).toMatchObject([{ type: "approval.confirmed", resourceId: stories[2]?.approvalId }]);
    const operatorNext = await operatorUpdates(restored, operatorRead.nextCursor);
    // To the operator the request is told before its decision.
    const about = stories[2]?.approvalId;
    expect(operatorNext.events).toMatchObject([
      { type: "approval.requested", resourceId: about },
      { type: "approval.confirmed", resourceId: about },
    ]);
    for (const [before, after] of [
      [read, next],
      [operatorRead, operatorNext],
    ] as const) {
      expect(Math.min(...numbersOf(after)) - Math.max(...numbersOf(before))).toBeGreaterThanOrEqual(BILLION);
    }
    expect(await findFaults(restored.db)).toEqual([]);
  });

  test("a backup that is restored twice gives no number of the first time again", async () => {
    const { restored, backup, chain } = await restoreAfter(async () => {});
    await declineNow(restored, chain.stories[1] as Story);
    const [last] = numbersOf(await updates(restored, chain.token)).slice(-1);
    // Of a database whose numbers have jumped before, just now.
    const later = await backUpDatabase(backup);
    const again = [await startService({}, await backUpDatabase(later)), await startService({}, later)];
    const given: number[] = [];
    for (const one of again) {
      await declineNow(one, chain.stories[2] as Story);
      given.push(...numbersOf(await updates(one, chain.token, String(last))));
    }
    expect(given).toHaveLength(2);
    expect(new Set(given).size).toBe(2);
  });

  test("receipts that are lost and those that follow stand at different places of the chain", async () => {
    let lost: Receipt | undefined;
    const { service, restored, chain } = await restoreAfter(async (before, { token, stories }) => {
      await declineNow(before, stories[1] as Story);
      lost = (await readReceipt(before, token, stories[1] as Story)).receipt;
    });
    const { token, stories, account } = chain;
    await declineNow(restored, stories[2] as Story);
    await confirmNow(depsOf(restored), stories[3] as Story);
    const read = async (story: Story | undefined) =>
      (await readReceipt(restored, token, story as Story)).receipt;
    const [first, second, third] = [await read(stories[0]), await read(stories[2]), await read(stories[3])];
    expect(second.chain.index).toBeGreaterThan(BILLION);
    expect(third.chain).toMatchObject({ index: second.chain.index + 1, previousDigest: second.chain.digest });
    // No fork is reported, and the present chain is whole.
    expect(verifyChain([first, lost as Receipt, second, third])).toHaveLength(2);
    expect(verifyChain([first, second, third])).toHaveLength(1);
    expect(await findings(restored.db)).toEqual([]);
    const kept = new Map([[account, { index: 2, digest: lost?.chain.digest ?? "" }]]);
    expect(await findings(service.db, kept)).toEqual([]);
    expect(await findings(restored.db, kept)).toEqual([
      expect.stringContaining("receipt 2, whose digest was kept"),
    ]);
  });

  test("an account whose creation is lost, and that is created again, gives no number again either", async () => {
    let lost: number[] = [];
    const account = { fixture: undefined as Awaited<ReturnType<typeof createFixture>> | undefined };
    const { restored } = await restoreAfter(async (service) => {
      account.fixture = await createFixture(service.app);
      lost = numbersOf(await updates(service, account.fixture.token));
    });
    const {
      account: id,
      contract,
      milestone,
    } = account.fixture ?? { account: "", contract: "", milestone: "" };
    const features = { public_api_payments_write: true };
    await operate(restored.app, "PUT", `/accounts/${id}`, { name: "Acme", claimed: true, features });
    const terms = { title: "Scenes", jobId: "job-1", paymentType: "FIXED_PRICE" };
    const freelancer = { userId: "freelancer-1", displayName: "Maria G." };
    await operate(restored.app, "PUT", `/accounts/${id}/contracts/${contract}`, { ...terms, freelancer });
    await createMilestone(restored.app, { account: id, contract, milestone }, milestone);
    const minted = { name: "Agent", scopes: ["payments:read"] };
    const { token } = await operate(restored.app, "POST", `/accounts/${id}/tokens`, minted);
    const now = numbersOf(await updates(restored, token));
    expect(lost.length).toBeGreaterThan(0);
    expect(now.filter((number) => lost.includes(number))).toEqual([]);
  });

  test("events from before the jump are forgotten in their time, and those after it too", async () => {
    const { restored, chain } = await restoreAfter(async () => {});
    const { db, app } = restored;
    await declineNow(restored, chain.stories[1] as Story);
    await operatorUpdates(restored);
    for (const table of ["events", "operator_events"]) {
      await sql`alter table ${sql.table(table)} disable trigger user`.execute(ownerOf(db));
      await sql`update ${sql.table(table)} set created_at = created_at - interval '400 days'`.execute(
        ownerOf(db),
      );
    }
    await sweepOldEvents(db, 365);
    await sweepOldEvents(db, 365);
    expect(await db.selectFrom("events").selectAll().execute()).toEqual([]);
    await createMilestone(app, chain, `${chain.milestone}-new`);
    await fund(app, chain.token, `${chain.milestone}-new`);
    const { events } = (await call(app, "GET", "/updates", { token: chain.token })).body;
    expect(events).toMatchObject([{ type: "milestone.status_changed" }]);
  });
});

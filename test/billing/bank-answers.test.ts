import { describe, expect, test } from "vitest";
import { advancePayment } from "../../src/approvals/advance-service.ts";
import { findLatestPayment } from "../../src/billing/payment-service.ts";
import { answerAuthentication, createSandbox } from "../../src/billing/sandbox-client.ts";
import { findFaults } from "../support/books.ts";
import { countWaiting, holdLock } from "../support/locks.ts";
import { waitUntil } from "../support/process.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, createStories, readOutcome, type Story } from "../support/stories.ts";

const { app, db, config, connection } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };

describe("two answers to the bank that have both found it waiting", () => {
  test.for([
    [false, true],
    [true, false],
  ] as const)("the first one counts, and money moves only with it: %j", async ([first, second]) => {
    const { stories } = await createStories(app, "pm_card_authenticationRequired", 1);
    const story = stories[0] as Story;
    await confirmNow(deps, story);
    const payment = await findLatestPayment(db, story.accountId, story.approvalId);
    const intentId = payment?.intentId ?? "";

    const hold = `select from sandbox.intents where id = '${intentId}' for update`;
    await using held = await holdLock(connection, hold);
    const one = answerAuthentication(db, intentId, first);
    await waitUntil(async () => (await countWaiting(db)) === 1, "the first answer waits");
    const other = answerAuthentication(db, intentId, second);
    await waitUntil(async () => (await countWaiting(db)) === 2, "the second answer waits behind it");
    await held.letGo();
    await Promise.all([one, other]);

    if (payment !== undefined) await advancePayment(deps, payment);
    expect(await readOutcome(db, story)).toEqual(
      first ? { approval: "confirmed", payment: "succeeded" } : { approval: "pending", payment: "refused" },
    );
    expect(await findFaults(db)).toEqual([]);
  });
});

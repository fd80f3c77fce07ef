import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { linkDecision } from "../../src/receipts/service.ts";
import { verifyChain } from "../../src/receipts/verifier.ts";
import { createChain, declineNow, readReceipt } from "../support/receipts.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, type Story } from "../support/stories.ts";

const service = await startService();
// A second service on the same database with its own pool, like another process.
const other = await startService({}, service.config.databaseUrl);
const [deps, otherDeps] = [service, other].map((one) => ({
  ...one,
  processor: createSandbox(one.db, PUBLIC_URL),
}));
const { db } = service;

function readHead({ accountId }: Story) {
  return db
    .selectFrom("account_heads")
    .where("account_id", "=", accountId)
    .select(["chain_index as index", "chain_digest as digest"])
    .executeTakeFirstOrThrow();
}

describe("decisions of one account", () => {
  test("50 decisions at once over two pools make one unbroken chain that ends at the account's head", async () => {
    const { token, stories } = await createChain(service, 50);
    await Promise.all(
      stories.map((story, i) => {
        const one = (i % 2 === 0 ? deps : otherDeps) as NonNullable<typeof deps>;
        return i % 3 === 0 ? declineNow(one, story) : confirmNow(one, story);
      }),
    );
    const receipts = await Promise.all(
      stories.map(async (story) => (await readReceipt(service, token, story)).receipt),
    );
    const head = await readHead(stories[0] as Story);
    const accountId = receipts[0]?.accountId;
    expect(head.index).toBe(50);
    expect(verifyChain(receipts, { index: 50, digest: head.digest.toString("hex") })).toEqual([
      { accountId, from: 1, to: 50 },
    ]);
  });

  test("decisions that are rolled back leave no link and no gap", async () => {
    const { token, stories } = await createChain(service, 2);
    const [undone, done] = stories as [Story, Story];
    await expect(
      inTransaction(db, async (trx) => {
        await sql`update approvals set status = 'declined', resolved_at = created_at
          where account_id = ${undone.accountId} and id = ${undone.approvalId}`.execute(trx);
        await linkDecision(trx, undone.accountId, undone.approvalId, new Date());
        throw new Error("undone");
      }),
    ).rejects.toThrow("undone");
    expect((await readHead(undone)).index).toBe(0);
    await declineNow(service, done);
    const { chain } = (await readReceipt(service, token, done)).receipt;
    expect(chain).toMatchObject({ index: 1, previousDigest: "0".repeat(64) });
  });

  test("an undecided approval is not linked", async () => {
    const { stories } = await createChain(service, 1);
    const [{ accountId, approvalId }] = stories as [Story];
    await expect(
      inTransaction(db, (trx) => linkDecision(trx, accountId, approvalId, new Date())),
    ).rejects.toThrow("the approval is neither confirmed nor declined");
  });
});

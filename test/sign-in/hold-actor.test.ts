import { sql } from "kysely";
import { describe, expect, test, vi } from "vitest";
import { readClock } from "../../src/database/clock.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { holdActor, inSession } from "../../src/sign-in/service.ts";
import { createActor } from "../support/actors.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { countWaiting } from "../support/locks.ts";
import { userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

async function begin() {
  const { account } = await createFixture(app);
  await createHuman(app, account, "owner");
  const { email, memberId } = await createHuman(app, account, "viewer");
  const actor = await createActor(db, await userIdOf(db, email));
  return { actor, memberId, need: { account: { id: accountKey(account), may: "read" } } as const };
}

describe("While a transaction acts for a person", () => {
  test.each([
    ["their session is not ended", (id: string) => sql`delete from auth.sessions where id = ${id}`],
    [
      "its token is not replaced",
      (id: string) => sql`update auth.sessions set trusted = true where id = ${id}`,
    ],
  ])("while a transaction acts for a person, %s", async (_what, end) => {
    const { actor, need } = await begin();
    await expectToWait(actor, need, end(actor.sessionId));
  });

  test.each([
    ["the member is not removed", sql`status = 'removed'`],
    ["their role is not changed", sql`role = 'approver'`],
  ])("while a transaction acts for a person, %s", async (_what, change) => {
    const { actor, memberId, need } = await begin();
    await expectToWait(actor, need, sql`update members set ${change} where id = ${memberId}`);
  });

  test("two transactions may act in the same session at once", async () => {
    const { actor, need } = await begin();
    await inTransaction(db, async (trx) => {
      await holdActor(trx, actor, need, await readClock(trx));
      expect(await inSession(db, actor, need, async () => "done")).toBe("done");
    });
  });
});

async function expectToWait(
  actor: Awaited<ReturnType<typeof begin>>["actor"],
  need: Awaited<ReturnType<typeof begin>>["need"],
  change: ReturnType<typeof sql>,
): Promise<void> {
  const order: string[] = [];
  let changing: Promise<unknown> = Promise.resolve();
  await inTransaction(db, async (trx) => {
    await holdActor(trx, actor, need, await readClock(trx));
    changing = change.execute(db).then(() => order.push("changed"));
    await vi.waitUntil(async () => (await countWaiting(db)) > 0, { timeout: 30_000 });
    order.push("acted");
  });
  await changing;
  expect(order).toEqual(["acted", "changed"]);
}

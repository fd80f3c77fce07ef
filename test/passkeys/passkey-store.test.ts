import { expect, test } from "vitest";
import { inTransaction } from "../../src/database/transaction.ts";
import { newId } from "../../src/lib/ids.ts";
import { insertPasskey, listPasskeys, lockPasskey, markPasskeyUsed } from "../../src/passkeys/store.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

async function createPerson(): Promise<string> {
  const { account } = await createFixture(app);
  return userIdOf(db, (await createHuman(app, account)).email);
}

test("a passkey belongs to one person, and its credential is stored once", async () => {
  const [ada, bob] = [await createPerson(), await createPerson()];
  const { credentialId } = await givePasskey(db, ada);
  const [kept] = await listPasskeys(db, ada);
  if (kept === undefined) throw new Error("it was not kept");
  expect(kept.credential_id).toEqual(credentialId);
  expect(await listPasskeys(db, bob)).toEqual([]);
  await inTransaction(db, async (trx) => {
    expect(await lockPasskey(trx, bob, credentialId)).toBeUndefined();
    expect((await lockPasskey(trx, ada, credentialId))?.id).toBe(kept.id);
    expect(await insertPasskey(trx, { ...kept, id: newId(), user_id: bob })).toBe(false);
  });
});

test("a passkey keeps what its authenticator reports", async () => {
  const ada = await createPerson();
  const { credentialId } = await givePasskey(db, ada);
  const now = new Date("2026-11-25T09:00:00.000Z");
  await inTransaction(db, async (trx) => {
    const row = await lockPasskey(trx, ada, credentialId);
    const use = { counter: 4_294_967_295, backedUp: true, possibleCopy: true };
    await markPasskeyUsed(trx, row?.id ?? "", use, now);
  });
  const [kept] = await listPasskeys(db, ada);
  expect(kept).toMatchObject({
    counter: 4_294_967_295,
    backed_up: true,
    last_used_at: now,
    possible_copy_at: now,
  });
});

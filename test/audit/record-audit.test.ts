import { sql } from "kysely";
import { expect, test } from "vitest";
import { listAudit, type NewEntry, recordAudit, SERVICE_ACCOUNT } from "../../src/audit/service.ts";
import { readClock } from "../../src/database/clock.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { NO_ORIGIN } from "../../src/lib/origin.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { ownerOf } from "../support/owner.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";

const { app, db } = await startService();

const record = (entry: NewEntry) =>
  inTransaction(db, async (trx) => recordAudit(trx, entry, await readClock(trx)));
const operator = { kind: "operator", key: "ab12cd34" } as const;

test("an entry is read back with its actor, subject, values and origin", async () => {
  const accountId = newId();
  await record({
    accountId,
    actor: { kind: "token", tokenId: "t2", rootId: "t1", name: "Finance agent" },
    action: "key_minted",
    subject: { kind: "token", id: "t3" },
    before: { scopes: [] },
    after: { scopes: ["payments:read"] },
    detail: { note: "n" },
    origin: { address: "198.51.100.7", requestId: "r-1" },
  });
  const { entries, nextCursor } = await listAudit(db, accountId, { limit: 50 });
  expect(nextCursor).toBeNull();
  expect(entries).toEqual([
    {
      id: expect.any(String),
      at: expect.any(String),
      action: "key_minted",
      actor: { kind: "token", id: "t2", name: "Finance agent", rootId: "t1" },
      subject: { kind: "token", id: "t3" },
      before: { scopes: [] },
      after: { scopes: ["payments:read"] },
      detail: { note: "n" },
      address: "198.51.100.7",
      requestId: "r-1",
    },
  ]);
});

test("entries are paged, the newest first, without a gap or a repeat", async () => {
  const accountId = newId();
  for (let index = 0; index < 7; index++)
    await record({ accountId, actor: operator, action: "key_revoked", detail: { index }, origin: NO_ORIGIN });
  const seen: unknown[] = [];
  const times: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await listAudit(db, accountId, { cursor, limit: 3 });
    seen.push(...page.entries.map(({ detail }) => detail.index));
    times.push(...page.entries.map(({ at }) => at));
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  // Entries of one millisecond stand in any order.
  expect(seen.toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(times).toEqual(times.toSorted().reverse());
  await expect(listAudit(db, accountId, { cursor: "yesterday", limit: 3 })).rejects.toMatchObject({
    details: { field: "cursor" },
  });
});

test("what concerns a person stands in each of their accounts, else under the service", async () => {
  const fixture = await createFixture(app);
  const accountId = accountKey(fixture.account);
  const human = await createHuman(app, fixture.account, "owner");
  const { user_id: userId } = await db
    .selectFrom("members")
    .where("account_id", "=", accountId)
    .where("email", "=", human.email)
    .select("user_id")
    .executeTakeFirstOrThrow();
  const byPerson = { action: "password_changed", origin: NO_ORIGIN } as const;
  await record({ ...byPerson, actor: { kind: "person", userId: userId ?? "", name: "Hanna" } });
  const [newest] = (await listAudit(db, accountId, { limit: 1 })).entries;
  expect(newest).toMatchObject({ action: "password_changed", actor: { id: userId } });

  const stranger = newId();
  await record({ ...byPerson, actor: { kind: "person", userId: stranger, name: null } });
  const [unowned] = (await listAudit(db, SERVICE_ACCOUNT, { limit: 1 })).entries;
  expect(unowned).toMatchObject({ action: "password_changed", actor: { id: stranger } });
});

test("no statement changes, deletes or truncates an entry", async () => {
  await record({ accountId: newId(), actor: operator, action: "key_revoked", origin: NO_ORIGIN });
  // The running role has no right to either; the triggers hold against the owner too.
  const owner = ownerOf(db);
  await expect(sql`update audit_entries set action = 'x'`.execute(owner)).rejects.toThrow("never changed");
  await expect(sql`delete from audit_entries`.execute(owner)).rejects.toThrow("never changed");
  await expect(sql`truncate audit_entries`.execute(owner)).rejects.toThrow("never changed");
});

test("an entry of a change that is rolled back is gone with it", async () => {
  const accountId = newId();
  const undone = inTransaction(db, async (trx) => {
    await recordAudit(
      trx,
      { accountId, actor: { kind: "service" }, action: "key_revoked", origin: NO_ORIGIN },
      await readClock(trx),
    );
    throw new Error("undone");
  });
  await expect(undone).rejects.toThrow("undone");
  expect((await listAudit(db, accountId, { limit: 1 })).entries).toEqual([]);
});

test("the operator reads an account's entries page by page; an unknown account is 404", async () => {
  const fixture = await createFixture(app);
  await createHuman(app, fixture.account, "owner");
  const accountId = accountKey(fixture.account);
  for (const action of ["key_minted", "key_revoked"] as const)
    await record({ accountId, actor: operator, action, origin: NO_ORIGIN });
  const path = `/accounts/${fixture.account}/audit`;
  const first = await operate(app, "GET", `${path}?limit=1`);
  expect(first.entries.map(({ action }: { action: string }) => action)).toEqual(["key_revoked"]);
  const second = await operate(app, "GET", `${path}?limit=1&cursor=${first.nextCursor}`);
  expect(second.entries.map(({ action }: { action: string }) => action)).toEqual(["key_minted"]);
  const answer = await app.inject({
    url: `/api/operator/v1/accounts/${newId()}/audit`,
    headers: { authorization: `Bearer ${OPERATOR_KEY}` },
  });
  expect(answer.statusCode).toBe(404);
});

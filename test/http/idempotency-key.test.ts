import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { forgetOldKeys } from "../../src/accounts/idempotency-service.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { type Answer, call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { holdLock } from "../support/locks.ts";
import { startService } from "../support/service.ts";
import { expectRefusal } from "./expectations.ts";
import { digestRows } from "./rows.ts";

const { app, connection, db } = await startService();

const BODY = { description: "More", amountUsd: 1 };
const REUSED = { field: "Idempotency-Key" };

function create(
  { token, contract }: Pick<Fixture, "token" | "contract">,
  key: string,
  body: unknown = BODY,
): Promise<Answer> {
  const headers = { "idempotency-key": key };
  return call(app, "POST", `/api/public/v1/contracts/${contract}/milestones`, { token, body, headers });
}

async function countMilestones({ account }: Fixture): Promise<number> {
  const { count } = await db
    .selectFrom("milestones")
    .where("account_id", "=", accountKey(account))
    .select((select) => select.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return count;
}

/** Lets so much time pass for the account's keys. */
async function age({ account }: Fixture, interval: string): Promise<void> {
  await sql`
    update idempotency_keys set claimed_at = claimed_at - ${interval}::interval
    where account_id = ${accountKey(account)}`.execute(db);
}

const isReplayed = ({ headers }: Answer) => headers["idempotent-replayed"];

describe("a call with an Idempotency-Key, sent again", () => {
  test("is answered as the first time, says so, and does nothing more", async () => {
    const fixture = await createFixture(app);
    const first = await create(fixture, "k-1");
    expect([first.status, isReplayed(first)]).toEqual([201, undefined]);
    const before = await digestRows(db);
    for (let i = 0; i < 3; i++) {
      const again = await create(fixture, "k-1");
      expect([again.status, isReplayed(again), again.text]).toEqual([201, "true", first.text]);
    }
    expect(await digestRows(db)).toEqual(before);
    expect(await countMilestones(fixture)).toBe(2);
  });

  test("is the same however its body is written", async () => {
    const fixture = await createFixture(app);
    const first = await create(fixture, "k-1", '{"description": "More", "amountUsd": 1}');
    const again = await create(fixture, "k-1", '{ "amountUsd": 1.0,\n"description": "\\u004dore" }');
    expect([again.status, again.text]).toEqual([201, first.text]);
  });

  test("with another body is 422 and does nothing, while the first answer stays", async () => {
    const fixture = await createFixture(app);
    const first = await create(fixture, "k-1");
    const before = await digestRows(db);
    for (const body of [
      { ...BODY, amountUsd: 2 },
      { ...BODY, name: "x" },
    ]) {
      expectRefusal(await create(fixture, "k-1", body), 422, "BAD_REQUEST", REUSED);
    }
    expect(await digestRows(db)).toEqual(before);
    expect((await create(fixture, "k-1")).text).toBe(first.text);
  });

  test("to another contract is 422 too", async () => {
    const fixture = await createFixture(app);
    await create(fixture, "k-1");
    const contract = `${fixture.contract}.2`;
    await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${contract}`, {
      title: "Another",
      jobId: "job-2",
      paymentType: "FIXED_PRICE",
      freelancer: { userId: "freelancer-1", displayName: "Maria G." },
    });
    expectRefusal(await create({ ...fixture, contract }, "k-1"), 422, "BAD_REQUEST", REUSED);
  });

  test("by another token is another call", async () => {
    const fixture = await createFixture(app);
    const { token } = await operate(app, "POST", `/accounts/${fixture.account}/tokens`, {
      name: "Other agent",
      scopes: ["payments:write"],
    });
    const [first, other] = [
      await create(fixture, "k-1"),
      await create({ ...fixture, token }, "k-1", { ...BODY, amountUsd: 2 }),
    ];
    expect([first.status, other.status, isReplayed(other)]).toEqual([201, 201, undefined]);
  });

  test("passes every gate again first: a scope, a feature, a token that is gone", async () => {
    const fixture = await createFixture(app);
    await create(fixture, "k-1");
    const features = { public_api_payments_write: false };
    await operate(app, "PUT", `/accounts/${fixture.account}`, { features });
    expect((await create(fixture, "k-1")).status).toBe(403);
    const tokens = (await call(app, "GET", "/api/public/v1/tokens", fixture)).body.tokens;
    await call(app, "DELETE", `/api/public/v1/tokens/${tokens[0].id}`, fixture);
    expect((await create(fixture, "k-1")).status).toBe(401);
  });
});

describe("what is kept for a key", () => {
  test("is no refusal: what was mended since is done, under the same key and with another body", async () => {
    const fixture = await createFixture(app);
    const path = `/accounts/${fixture.account}/contracts/${fixture.contract}`;
    await operate(app, "PUT", path, { paymentType: "PAY_PER_HOUR" });
    const body = { description: "More", volume: 2 };
    const first = await create(fixture, "k-1", body);
    expectRefusal(first, 409, "CONFLICT", { reason: "contract_rate_missing" });
    await operate(app, "PUT", path, { rateUsd: 10 });
    const again = await create(fixture, "k-1", { ...body, description: "Another" });
    expect([again.status, isReplayed(first), isReplayed(again)]).toEqual([201, undefined, undefined]);
    const repeat = await create(fixture, "k-1", { ...body, description: "Another" });
    expect([repeat.text, isReplayed(repeat)]).toEqual([again.text, "true"]);
    const unknown = { ...fixture, contract: newId() };
    const missing = { resource: "contracts", contractId: unknown.contract };
    for (const amountUsd of [1, 2])
      expectRefusal(await create(unknown, "k-3", { ...BODY, amountUsd }), 404, "NOT_FOUND", missing);
    const kept = await db
      .selectFrom("idempotency_keys")
      .where("account_id", "=", accountKey(fixture.account))
      .select("key")
      .execute();
    expect(kept).toEqual([{ key: "k-1" }]);
  });

  test("is nothing of a call that did not pass the gates or had a bad field", async () => {
    const fixture = await createFixture(app);
    expect((await create(fixture, "k-1", { ...BODY, extra: 1 })).status).toBe(400);
    const made = await create(fixture, "k-1");
    expect([made.status, isReplayed(made)]).toEqual([201, undefined]);
  });

  test("is no 5xx: a repeat does the work", async () => {
    const fixture = await createFixture(app);
    const where = `account_id = '${accountKey(fixture.account)}' and id = '${fixture.contract}'`;
    await using held = await holdLock(connection, `select from contracts where ${where} for update`);
    expect((await create(fixture, "k-1")).status).toBe(503);
    await held.letGo();
    const made = await create(fixture, "k-1");
    expect([made.status, isReplayed(made)]).toEqual([201, undefined]);
    expect(await countMilestones(fixture)).toBe(2);
  });

  test("never stores a refusal of what cannot be stored: a repeat is refused again", async () => {
    const { token } = await createFixture(app);
    for (let i = 0; i < 2; i++) {
      const answer = await create({ token, contract: "%00" }, "k-1");
      expectRefusal(answer, 404, "NOT_FOUND", { resource: "contracts", contractId: "\u0000" });
    }
  });

  test("lasts for 24 hours, whether or not the sweep has come by", async () => {
    const fixture = await createFixture(app);
    const first = await create(fixture, "k-1");
    await age(fixture, "23 hours 59 minutes");
    expect(await forgetOldKeys(db)).toBe(0);
    expect((await create(fixture, "k-1")).text).toBe(first.text);
    await age(fixture, "1 minute");
    const other = await create(fixture, "k-1", { ...BODY, amountUsd: 2 });
    expect([other.status, isReplayed(other)]).toEqual([201, undefined]);
    await age(fixture, "24 hours");
    expect(await forgetOldKeys(db)).toBe(1);
    expect((await create(fixture, "k-1")).status).toBe(201);
    expect(await countMilestones(fixture)).toBe(4);
  });
});

describe("a call whose key is still worked on", () => {
  /** A key whose attempt has gone silent, as a process leaves it that dies. */
  async function leaveBehind(fixture: Fixture): Promise<void> {
    await create(fixture, "k-1");
    await sql`
      update idempotency_keys set answer = null where account_id = ${accountKey(fixture.account)}`.execute(
      db,
    );
  }

  test("is 409 until 60 s have passed, and is then taken over", async () => {
    const fixture = await createFixture(app);
    await leaveBehind(fixture);
    await age(fixture, "59 seconds");
    expectRefusal(await create(fixture, "k-1"), 409, "CONFLICT", { reason: "request_in_progress" });
    await age(fixture, "1 second");
    const made = await create(fixture, "k-1");
    expect([made.status, isReplayed(made)]).toEqual([201, undefined]);
    expect((await create(fixture, "k-1")).text).toBe(made.text);
  });

  test("with another body is 422 until 60 s have passed, and is then taken over too", async () => {
    const fixture = await createFixture(app);
    await leaveBehind(fixture);
    await age(fixture, "59 seconds");
    expectRefusal(await create(fixture, "k-1", { ...BODY, amountUsd: 2 }), 422, "BAD_REQUEST", REUSED);
    await age(fixture, "1 second");
    const made = await create(fixture, "k-1", { ...BODY, amountUsd: 2 });
    expect([made.status, isReplayed(made)]).toEqual([201, undefined]);
    expectRefusal(await create(fixture, "k-1"), 422, "BAD_REQUEST", REUSED);
  });
});

describe("the header", () => {
  test.each<[string, string]>([
    ["nothing", ""],
    ["a space", "a b"],
    ["a tab", "a\tb"],
    ["256 characters", "x".repeat(256)],
    ["two of them", "a, b"],
    ["letters that are none of ASCII's", "clé"],
  ])("is 400 when it holds %s, and does nothing", async (_name, key) => {
    const fixture = await createFixture(app);
    const before = await digestRows(db);
    expectRefusal(await create(fixture, key), 400, "BAD_REQUEST", REUSED);
    expect(await digestRows(db)).toEqual(before);
  });

  test("may be 255 visible characters of any kind", async () => {
    const fixture = await createFixture(app);
    for (const key of ["x".repeat(255), "!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~"]) {
      expect((await create(fixture, key)).status).toBe(201);
      expect(isReplayed(await create(fixture, key))).toBe("true");
    }
  });

  test("is ignored where a call does not take one", async () => {
    const fixture = await createFixture(app);
    const headers = { "idempotency-key": "k-1" };
    const path = `/milestones/${fixture.milestone}/fund`;
    for (let i = 0; i < 2; i++) {
      const answer = await call(app, "POST", path, { token: fixture.token, headers });
      expect([answer.status, isReplayed(answer)]).toEqual([202, undefined]);
    }
    expect(
      (await call(app, "GET", "/updates", { token: fixture.token, headers: { "idempotency-key": "" } }))
        .status,
    ).toBe(200);
  });
});

test("a number that no number can hold is refused like any other fault, with a key too", async () => {
  const fixture = await createFixture(app);
  const answer = await create(fixture, "k-infinite", '{"description":"More","amountUsd":1e999}');
  expectRefusal(answer, 400, "BAD_REQUEST", { field: "amountUsd" });
});

import { expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { call } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { subjectsTo } from "../support/mails.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { createCreditAccount, readCredits } from "../support/top-ups.ts";

const { app, db } = await startService();

const adjust = (account: string, body: unknown, headers: Record<string, string> = {}) =>
  call(app, "POST", `/api/operator/v1/accounts/${account}/credits/adjustments`, {
    token: OPERATOR_KEY,
    body,
    headers,
  });

test("an operator's adjustment moves the available balance, below zero too, audited and mailed", async () => {
  const fixture = await createCreditAccount(app);
  const owner = await createHuman(app, fixture.account);
  const answer = await adjust(fixture.account, { amountCents: -700, note: "Paid twice in November" });
  expect(answer.status, answer.text).toBe(201);
  expect(answer.body.entry).toMatchObject({
    type: "ADJUSTMENT",
    amountCents: -700,
    note: "Paid twice in November",
  });
  expect((await readCredits(app, fixture)).body.credits).toMatchObject({
    availableCents: -700,
    recentEntries: [answer.body.entry],
  });
  const entries = await db
    .selectFrom("audit_entries")
    .where("account_id", "=", accountKey(fixture.account))
    .where("action", "=", "credits_adjusted")
    .select(["actor_kind", "subject_id", "after"])
    .execute();
  expect(entries).toEqual([
    {
      actor_kind: "operator",
      subject_id: answer.body.entry.id,
      after: { amountCents: -700, note: "Paid twice in November" },
    },
  ]);
  expect(await subjectsTo(db, owner.email)).toContainEqual(
    expect.stringContaining("$7.00 USD was taken from"),
  );
});

test("an adjustment of nothing, without a note, or of an unknown account is refused", async () => {
  const { account } = await createCreditAccount(app);
  for (const [body, field] of [
    [{ amountCents: 0, note: "x" }, "amountCents"],
    [{ amountCents: 1.5, note: "x" }, "amountCents"],
    [{ amountCents: 100 }, "note"],
    [{ amountCents: 100, note: "" }, "note"],
  ] as const) {
    const refused = await adjust(account, body);
    expect([refused.status, refused.body.details]).toEqual([400, { field }]);
  }
  expect((await adjust("nobody", { amountCents: 1, note: "x" })).status).toBe(404);
});

test("an adjustment sent again under its Idempotency-Key moves nothing more, and another body is refused", async () => {
  const fixture = await createCreditAccount(app);
  const key = { "idempotency-key": "correction-1" };
  const body = { amountCents: 900, note: "A correction" };
  const sent = await Promise.all(Array.from({ length: 5 }, () => adjust(fixture.account, body, key)));
  expect(sent.filter(({ status }) => status !== 201 && status !== 409)).toEqual([]);
  const again = await adjust(fixture.account, body, key);
  expect([again.status, again.headers["idempotent-replayed"]]).toEqual([201, "true"]);
  expect(sent.filter(({ status }) => status === 201).map((one) => one.body)).toContainEqual(again.body);
  const other = await adjust(fixture.account, { ...body, amountCents: 901 }, key);
  expect([other.status, other.body.details]).toEqual([422, { field: "Idempotency-Key" }]);
  expect((await readCredits(app, fixture)).body.credits.availableCents).toBe(900);
  // Another account's key of the same name is another key.
  const stranger = await createCreditAccount(app);
  expect((await adjust(stranger.account, body, key)).headers["idempotent-replayed"]).toBeUndefined();
});

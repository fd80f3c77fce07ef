import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { ask, expectRefusal } from "../http/expectations.ts";
import { digestRows } from "../http/rows.ts";
import { operate } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

const newAccount = () => `acct-${crypto.randomUUID()}`;
const put = (id: string, body?: unknown) => ask(app, "PUT", `/accounts/${id}`, body);

describe("PUT /accounts/{id}", () => {
  test("creates an account (201) with defaults for what is not named, which GET answers too", async () => {
    const id = newAccount();
    const { status, body } = await put(id, { name: "Acme" });
    expect(status).toBe(201);
    expect(body).toStrictEqual({
      account: {
        id,
        name: "Acme",
        claimed: false,
        features: {},
        billing: "card",
        coSign: "session",
        secondSignerFromUsd: null,
        frozen: false,
        createdAt: body.account.updatedAt,
        updatedAt: body.account.createdAt,
      },
    });
    expect(await operate(app, "GET", `/accounts/${id}`)).toEqual(body);
  });

  test("sets the named keys (200), leaves the others as they are, and merges features key by key", async () => {
    const id = newAccount();
    await put(id, { name: "Acme", claimed: true, features: { a: true, b: true }, billing: "card" });
    const { status, body } = await put(id, { features: { b: false, c_2: true } });
    expect(status).toBe(200);
    expect(body.account).toMatchObject({
      name: "Acme",
      claimed: true,
      features: { a: true, b: false, c_2: true },
      billing: "card",
    });
    const renamed = (await put(id, { name: "Acme 2", billing: "card" })).body.account;
    expect(renamed).toMatchObject({ name: "Acme 2", billing: "card", features: body.account.features });
    expect((await put(id, {})).body.account).toMatchObject({ ...renamed, updatedAt: expect.any(String) });
  });

  test("sets what fundings are drawn from, and refuses a setup that does not exist", async () => {
    const id = newAccount();
    await put(id, { name: "Acme" });
    expect((await put(id, { billing: "credits_first" })).body.account.billing).toBe("credits_first");
    expect((await put(id, { name: "Acme 2" })).body.account.billing).toBe("credits_first");
    expectRefusal(await put(id, { billing: "cash" }), 400, "BAD_REQUEST", { field: "billing" });
  });

  test("needs a name for a new account, and creates nothing without", async () => {
    const before = await digestRows(db);
    for (const body of [{}, { claimed: true }]) {
      expectRefusal(await put(newAccount(), body), 400, "BAD_REQUEST", { field: "name" });
    }
    expect(await digestRows(db)).toEqual(before);
  });

  test("refuses unknown keys and every bad value, names the field, and changes nothing", async () => {
    const bad: [unknown, string][] = [
      [{ nme: "Acme" }, "nme"],
      [{ name: "Acme", id: "other" }, "id"],
      [{ name: "" }, "name"],
      [{ name: "x".repeat(201) }, "name"],
      [{ name: 7 }, "name"],
      [{ name: null }, "name"],
      [{ name: ["Acme"] }, "name"],
      [{ claimed: "true" }, "claimed"],
      [{ claimed: 1 }, "claimed"],
      [{ claimed: null }, "claimed"],
      [{ features: [] }, "features"],
      [{ features: null }, "features"],
      [{ features: { a: "true" } }, "features.a"],
      [{ features: { a: 1 } }, "features.a"],
      [{ features: { "Not a key": true } }, "features.Not a key"],
      [{ features: { "": true } }, "features."],
      [{ features: { ["x".repeat(65)]: true } }, `features.${"x".repeat(65)}`],
      [{ features: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`f${i}`, true])) }, "features"],
      [{ billing: "cash" }, "billing"],
      [{ billing: null }, "billing"],
      [{ coSign: "none" }, "coSign"],
      [{ coSign: true }, "coSign"],
      [[], "body"],
      ["text", "body"],
      [null, "body"],
      [7, "body"],
    ];
    const id = newAccount();
    const before = (await put(id, { name: "Acme", claimed: true, features: { a: true } })).body;
    for (const [body, field] of bad) {
      expectRefusal(await put(id, JSON.stringify(body)), 400, "BAD_REQUEST", { field });
    }
    expect(await operate(app, "GET", `/accounts/${id}`)).toEqual(before);
  });

  test("takes a name in any script, up to 200 characters as people count code points", async () => {
    const id = newAccount();
    for (const name of ["日本語 GmbH & Co. <b>", "é́", "💳".repeat(200), "\u202eAcme"]) {
      expect((await put(id, { name })).body.account.name).toBe(name);
    }
    expectRefusal(await put(id, { name: "💳".repeat(201) }), 400, "BAD_REQUEST", { field: "name" });
  });

  test("takes ids of 1 to 64 characters of its alphabet, and finds nothing at any other", async () => {
    for (const id of ["a", "Z", "0", "_", "x".repeat(64), "A.b_c-9", "__proto__"]) {
      expect((await put(id, { name: id })).status, id).toBe(201);
      expect((await operate(app, "GET", `/accounts/${id}`)).account.id).toBe(id);
    }
    for (const [sent, id] of [
      ["x".repeat(65), "x".repeat(65)],
      ["a%20b", "a b"],
      ["a%2Fb", "a/b"],
      ["%C3%A4", "ä"],
      ["a%0A", "a\n"],
    ] as const) {
      const details = { resource: "accounts", accountId: id };
      expectRefusal(await put(sent, { name: "Acme" }), 404, "NOT_FOUND", details);
      expectRefusal(await ask(app, "GET", `/accounts/${sent}`), 404, "NOT_FOUND", details);
    }
  });

  test("tells ids apart that differ in case alone", async () => {
    const id = newAccount();
    expect((await put(id, { name: "Lower" })).status).toBe(201);
    expect((await put(id.toUpperCase(), { name: "Upper" })).status).toBe(201);
    expect((await operate(app, "GET", `/accounts/${id}`)).account.name).toBe("Lower");
  });
});

describe("claimed", () => {
  test("goes from false to true and never back", async () => {
    const id = newAccount();
    expect((await put(id, { name: "Acme", claimed: false })).body.account.claimed).toBe(false);
    expect((await put(id, { claimed: false })).status).toBe(200);
    expect((await put(id, { claimed: true })).body.account.claimed).toBe(true);
    expectRefusal(await put(id, { claimed: false }), 400, "BAD_REQUEST", { field: "claimed" });
    expect((await put(id, { claimed: true })).body.account.claimed).toBe(true);
  });
});

describe("coSign", () => {
  test("is only tightened by the operator: from session to passkey", async () => {
    const id = newAccount();
    await put(id, { name: "Acme" });
    const { email } = await createHuman(app, id);
    await givePasskey(db, await userIdOf(db, email));
    expect((await put(id, { coSign: "session" })).status).toBe(200);
    expect((await put(id, { coSign: "passkey" })).body.account.coSign).toBe("passkey");
    expect((await put(id, { coSign: "passkey" })).status).toBe(200);
    const refused = await put(id, { coSign: "session", name: "Other" });
    expectRefusal(refused, 409, "CONFLICT", { reason: "co_sign_loosening" });
    const { account } = await operate(app, "GET", `/accounts/${id}`);
    expect([account.coSign, account.name]).toEqual(["passkey", "Acme"]);
  });

  test("is passkey only once an owner has an active passkey and can confirm", async () => {
    const id = newAccount();
    const missing = { reason: "passkey_missing" };
    expectRefusal(await put(id, { name: "Acme", coSign: "passkey" }), 409, "CONFLICT", missing);
    await put(id, { name: "Acme" });
    const { email } = await createHuman(app, id);
    const userId = await userIdOf(db, email);
    expectRefusal(await put(id, { coSign: "passkey" }), 409, "CONFLICT", missing);
    await givePasskey(db, userId);
    await sql`update auth.passkeys set active_from = null where user_id = ${userId}`.execute(db);
    expectRefusal(await put(id, { name: "Other", coSign: "passkey" }), 409, "CONFLICT", missing);
    expect((await operate(app, "GET", `/accounts/${id}`)).account).toMatchObject({
      name: "Acme",
      coSign: "session",
    });
    await sql`update auth.passkeys set active_from = now() where user_id = ${userId}`.execute(db);
    expect((await put(id, { coSign: "passkey" })).body.account.coSign).toBe("passkey");
  });
});

describe("secondSignerFromUsd", () => {
  test("is only tightened by the operator: set, and then lowered", async () => {
    const id = newAccount();
    expect((await put(id, { name: "Acme" })).body.account.secondSignerFromUsd).toBeNull();
    expect((await put(id, { secondSignerFromUsd: null })).body.account.secondSignerFromUsd).toBeNull();
    expect((await put(id, { secondSignerFromUsd: 1000.5 })).body.account.secondSignerFromUsd).toBe(1000.5);
    expect((await put(id, { secondSignerFromUsd: 1000.5 })).status).toBe(200);
    expect((await put(id, { secondSignerFromUsd: 900 })).body.account.secondSignerFromUsd).toBe(900);
    for (const secondSignerFromUsd of [900.01, null]) {
      const refused = await put(id, { secondSignerFromUsd, name: "Other" });
      expectRefusal(refused, 409, "CONFLICT", { reason: "second_signer_loosening" });
    }
    const { account } = await operate(app, "GET", `/accounts/${id}`);
    expect([account.secondSignerFromUsd, account.name]).toEqual([900, "Acme"]);
  });

  test("is an amount that a payment could have", async () => {
    const id = newAccount();
    for (const secondSignerFromUsd of [0, 0.49, -5, 10.001, 1_000_000, "10"])
      expectRefusal(await put(id, { name: "Acme", secondSignerFromUsd }), 400, "BAD_REQUEST", {
        field: "secondSignerFromUsd",
      });
  });

  test("is recorded with the values before and after, and mailed to the owners", async () => {
    const id = newAccount();
    await put(id, { name: "Acme" });
    const { email } = await createHuman(app, id);
    await put(id, { secondSignerFromUsd: 1000 });
    const { entries } = await operate(app, "GET", `/accounts/${id}/audit`);
    expect(entries[0]).toMatchObject({
      action: "account_changed",
      before: { secondSignerFromCents: null },
      after: { secondSignerFromCents: 100_000 },
    });
    const [mail] = (await mailsTo(db, email)).slice(-1);
    expect(mail?.body).toContain("within 24 hours to $1,000.00 USD or more");
  });
});

describe("any number of PUTs at once", () => {
  test("of one new account, contract or milestone create it once: one 201, the rest 200", async () => {
    const id = newAccount();
    const contract = {
      title: "T",
      jobId: "j",
      paymentType: "FIXED_PRICE",
      freelancer: { userId: "f", displayName: "F." },
    };
    for (const [path, body] of [
      [`/accounts/${id}`, { name: "Acme" }],
      [`/accounts/${id}/contracts/c`, contract],
      [`/accounts/${id}/milestones/m`, { contractId: "c", description: "d", amountUsd: 1 }],
    ] as const) {
      const answers = await Promise.all(Array.from({ length: 8 }, () => ask(app, "PUT", path, body)));
      const statuses = answers.map(({ status }) => status).sort();
      expect(statuses, path).toEqual([200, 200, 200, 200, 200, 200, 200, 201]);
    }
    const feed = await operate(app, "GET", `/accounts/${id}/events`);
    expect(feed.events.map(({ type }: { type: string }) => type)).toEqual([
      "contract.created",
      "milestone.status_changed",
    ]);
  });

  test("with different keys lose none of them", async () => {
    const id = newAccount();
    await put(id, { name: "Acme" });
    const keys = Array.from({ length: 8 }, (_, i) => `f${i}`);
    await Promise.all(keys.map((key) => put(id, { features: { [key]: true } })));
    const { account } = await operate(app, "GET", `/accounts/${id}`);
    expect(Object.keys(account.features).sort()).toEqual(keys);
  });
});

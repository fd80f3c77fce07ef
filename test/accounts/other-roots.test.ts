import { describe, expect, test } from "vitest";
import { mailTokenActs } from "../../src/accounts/jobs.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { SCOPES } from "../../src/lib/scopes.ts";
import { expectRefusal } from "../http/expectations.ts";
import { digestRows } from "../http/rows.ts";
import { call, type Fixture, operate } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { startService } from "../support/service.ts";
import { callWebhooks, createDelivery, createSubscriber, subscribe } from "../support/webhooks.ts";

const { app, db, config } = await startService();
const TOKENS = "/api/public/v1/tokens";
const URL_OF_OWNER = "https://receiver.invalid/";

type Token = { token: string; id: string };

async function give({ account }: Fixture, name = "Another agent"): Promise<Token> {
  const { token, metadata } = await operate(app, "POST", `/accounts/${account}/tokens`, {
    name,
    scopes: SCOPES,
  });
  return { token, id: metadata.id };
}

async function mint(token: string, name = "Helper"): Promise<Token> {
  const { status, body, text } = await call(app, "POST", TOKENS, { token, body: { name } });
  expect(status, text).toBe(201);
  return { token: body.token, id: body.metadata.id };
}

const revoke = (token: string, id: string) => call(app, "DELETE", `${TOKENS}/${id}`, { token });
const auditOf = async ({ account }: Fixture) =>
  (await operate(app, "GET", `/accounts/${account}/audit`)).entries.filter(
    ({ actor }: { actor: { kind: string } }) => actor.kind === "token",
  );

describe("what another root or a person made", () => {
  test("is listed to a token, which cannot change it: webhooks of another agent", async () => {
    const fixture = await createSubscriber(app);
    const { webhookId, deliveryId } = await createDelivery(app, fixture);
    const stranger = await give(fixture);
    const { token: child } = await mint(stranger.token);
    const before = await digestRows(db);
    for (const token of [stranger.token, child]) {
      const listed = (await callWebhooks(app, "GET", "", { token })).body.webhooks;
      expect(listed.map(({ id }: { id: string }) => id)).toContain(webhookId);
      for (const [method, path] of [
        ["POST", `/${webhookId}/rotate-secret`],
        ["POST", `/${webhookId}/deliveries/${deliveryId}/redeliver`],
        ["DELETE", `/${webhookId}`],
      ] as const) {
        const answer = await callWebhooks(app, method, path, { token });
        expectRefusal(answer, 403, "FORBIDDEN", { reason: "made_by_another_key" });
        expect(answer.text).not.toContain("whsec_");
      }
    }
    expect(await digestRows(db)).toEqual(before);
  });

  test("is listed to a token, which cannot change it: webhooks that a person made", async () => {
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, URL_OF_OWNER);
    await db
      .updateTable("webhooks")
      .set({ token_id: null, root_id: null, user_id: "user-1", maker_name: "Ada" })
      .where("id", "=", id)
      .execute();
    for (const [method, path] of [
      ["POST", `/${id}/rotate-secret`],
      ["DELETE", `/${id}`],
    ] as const) {
      const answer = await callWebhooks(app, method, path, { token: fixture.token });
      expectRefusal(answer, 403, "FORBIDDEN", { reason: "made_by_another_key" });
    }
  });

  test("is listed to a token, which cannot change it: tokens, its own root among them", async () => {
    const fixture = await createSubscriber(app);
    const other = await give(fixture);
    const ofOther = await mint(other.token);
    const child = await mint(fixture.token);
    const { id: root } = await db
      .selectFrom("tokens")
      .where("account_id", "=", accountKey(fixture.account))
      .where("name", "=", "Test agent")
      .select("id")
      .executeTakeFirstOrThrow();
    const before = await digestRows(db);
    for (const [caller, id] of [
      [fixture.token, other.id],
      [fixture.token, ofOther.id],
      [child.token, other.id],
      [child.token, root],
    ] as const)
      expectRefusal(await revoke(caller, id), 403, "FORBIDDEN", { reason: "made_by_another_key" });
    expect(await digestRows(db)).toEqual(before);
  });
});

describe("what a token's own root made", () => {
  test("can be changed by every token that descends from it", async () => {
    const fixture = await createSubscriber(app);
    const [child, sibling] = [await mint(fixture.token), await mint(fixture.token)];
    const { id } = await subscribe(app, child.token, URL_OF_OWNER);
    for (const token of [fixture.token, sibling.token]) {
      expect((await callWebhooks(app, "POST", `/${id}/rotate-secret`, { token })).status).toBe(200);
    }
    expect((await callWebhooks(app, "DELETE", `/${id}`, { token: sibling.token })).status).toBe(200);
    expect((await revoke(sibling.token, child.id)).status).toBe(200);
    expect((await revoke(sibling.token, sibling.id)).status).toBe(200);
  });
});

describe("what a token does to keys and webhooks", () => {
  test("stands in the audit, with the token, its root and the request", async () => {
    const fixture = await createSubscriber(app);
    const child = await mint(fixture.token, "Reporting");
    const { id } = await subscribe(app, child.token, "https://receiver.invalid/secret-path");
    await callWebhooks(app, "POST", `/${id}/rotate-secret`, { token: child.token });
    await callWebhooks(app, "DELETE", `/${id}`, { token: fixture.token });
    await call(app, "POST", "/api/agent/oauth/revoke", {
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: `token=${child.token}`,
    });
    const headers = { "x-request-id": "revoke-1" };
    const last = await mint(fixture.token);
    await call(app, "DELETE", `${TOKENS}/${last.id}`, { token: fixture.token, headers });
    await revoke(fixture.token, last.id);
    const entries = (await auditOf(fixture)).reverse();
    expect(entries.map(({ action, subject }: Record<string, unknown>) => [action, subject])).toEqual([
      ["key_minted", { kind: "token", id: child.id }],
      ["webhook_added", { kind: "webhook", id }],
      ["webhook_secret_replaced", { kind: "webhook", id }],
      ["webhook_deleted", { kind: "webhook", id }],
      ["key_revoked", { kind: "token", id: child.id }],
      ["key_minted", { kind: "token", id: last.id }],
      ["key_revoked", { kind: "token", id: last.id }],
    ]);
    const [minted, added] = entries;
    expect(minted.after).toMatchObject({ name: "Reporting", scopes: [...SCOPES] });
    expect(added.actor).toEqual({
      kind: "token",
      id: child.id,
      name: "Reporting",
      rootId: minted.actor.id,
    });
    expect(added.after).toEqual({ host: "receiver.invalid", eventTypes: ["message.received"] });
    expect(entries.at(-1)).toMatchObject({ requestId: "revoke-1", address: "127.0.0.1" });
    expect(JSON.stringify(entries)).not.toMatch(/whsec_|secret-path|ot_pat_\w{20}/);
  });

  test("is mailed to the owners: the first at once, then one mail in 10 minutes with all there was", async () => {
    const fixture = await createSubscriber(app);
    const owner = await createHuman(app, fixture.account, "owner");
    const viewer = await createHuman(app, fixture.account, "viewer");
    const mailed = async () =>
      (await mailsTo(db, owner.email)).filter(({ subject }) => subject.includes("an agent changed"));
    const sweep = () => Promise.all([1, 2, 3].map(() => mailTokenActs({ db, config })));

    const { id } = await mint(fixture.token, "Evil\u202e http://evil.example");
    await sweep();
    const [first, ...none] = await mailed();
    expect(none).toEqual([]);
    expect(first?.subject).toBe("Countersign: an agent changed API keys or webhooks of “Acme”");
    expect(first?.body).toMatch(
      /“Test agent” \(ot_pat_.*\) created the API key “Evil http: \/\/evil\. example”/,
    );
    expect((await mailsTo(db, viewer.email)).map(({ subject }) => subject)).not.toContain(first?.subject);

    await revoke(fixture.token, id);
    for (let i = 0; i < 15; i++) await revoke(fixture.token, (await mint(fixture.token, `No. ${i}`)).id);
    await sweep();
    expect(await mailed()).toHaveLength(1);
    await db
      .updateTable("accounts")
      .set({ acts_mailed_at: new Date(Date.now() - 601_000) })
      .where("account_id", "=", accountKey(fixture.account))
      .execute();
    await sweep();
    const [, second, ...more] = await mailed();
    expect(more).toEqual([]);
    expect(second?.body).toContain("“No. 9”");
    expect(second?.body).not.toContain("“No. 10”");
    expect(second?.body).toContain("There were 11 more changes.");
    await sweep();
    expect(await mailed()).toHaveLength(2);
  });
});

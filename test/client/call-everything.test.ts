import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Middleware } from "../../packages/client/index.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { Description } from "../fuzz/description.ts";
import { connectAgent, dataOf, listen, refusalOf } from "../support/api-client.ts";
import { setPayoutAccount } from "../support/escrow.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { waitUntil } from "../support/process.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow } from "../support/stories.ts";
import { createSubscriber, postMessage } from "../support/webhooks.ts";

const service = await startService();
const { app, db, config, waiters } = service;
const origin = await listen(app);
const document = JSON.parse(readFileSync(join(import.meta.dirname, "../../docs/openapi.json"), "utf8"));
const description = new Description(document);
const called = new Set<string>();

/** Holds every answer to the document, and notes which operation gave it. */
const toTheDocument: Middleware = {
  async onResponse({ schemaPath, request, response }) {
    const path = `/api/public/v1${schemaPath}`;
    const operation = {
      path,
      method: request.method.toLowerCase(),
      parameters: [],
      bodyType: "",
      body: undefined,
    };
    const text = await response.clone().text();
    const answer = {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      text,
      body: JSON.parse(text),
    };
    expect(description.faultsOf(operation, answer), `${request.method} ${path}: ${text}`).toEqual([]);
    if (response.ok) called.add(`${operation.method} ${path}`);
  },
};
const connect = (token: string) => connectAgent(origin, token, toTheDocument);

describe("the whole way of an agent, by the generated client, over the wire", () => {
  const subscriber = createSubscriber(app);
  const agent = subscriber.then(({ token }) => connect(token));

  test("it learns who it is, and what it may do", async () => {
    const [api, { account }] = [await agent, await subscriber];
    const me = await dataOf(api.GET("/auth/me"));
    expect([me.account.organizationId, me.account.claimed]).toEqual([account, true]);
    const { capabilities } = await dataOf(api.GET("/capabilities"));
    expect(capabilities).toEqual({ paymentsWrite: true, credits: true, webhooks: true });
    expect((await dataOf(api.GET("/job-drafts/capabilities"))).capabilities).toMatchObject(capabilities);
  });

  test("it adds a milestone, once for its Idempotency-Key, asks for it, and is woken by the human's answer", async () => {
    const [api, fixture] = [await agent, await subscriber];
    const { contracts } = await dataOf(api.GET("/contracts", { params: { query: { status: "active" } } }));
    const contractId = contracts[0]?.id ?? "";
    expect(contractId).toBe(fixture.contract);
    const add = () =>
      api.POST("/contracts/{contractId}/milestones", {
        params: { path: { contractId }, header: { "Idempotency-Key": "second-batch" } },
        body: { name: "Second batch", description: "Label the next 3,000 street scenes", amountUsd: 300 },
      });
    const [added, again] = [await add(), await add()];
    expect(await dataOf(Promise.resolve(again))).toEqual(added.data);
    expect(again.response.headers.get("idempotent-replayed")).toBe("true");
    const { milestone } = await dataOf(Promise.resolve(added));
    expect([milestone.status, milestone.amountUsd]).toEqual(["NOT_FUNDED", 300]);

    const fund = () =>
      api.POST("/milestones/{milestoneId}/fund", { params: { path: { milestoneId: milestone.id } } });
    const asked = await fund();
    expect(asked.response.status).toBe(202);
    const { approval } = await dataOf(Promise.resolve(asked));
    expect((await dataOf(fund())).approval).toEqual(approval);

    const { nextCursor: cursor } = await dataOf(api.GET("/updates", { params: { query: { limit: 200 } } }));
    const woken = dataOf(api.GET("/updates", { params: { query: { cursor, wait: 30 } } }));
    await waitUntil(() => waiters.count === 1, "the agent waits");
    await createHuman(app, fixture.account);
    const processor = createSandbox(db, config.publicUrl);
    await confirmNow(
      { db, config, processor },
      { accountId: accountKey(fixture.account), approvalId: approval.id },
    );
    expect((await woken).events).toMatchObject([
      { type: "approval.confirmed", data: { approvalId: approval.id, status: "confirmed" } },
      { type: "milestone.status_changed", data: { milestoneId: milestone.id, status: "ACTIVE_FUNDED" } },
    ]);
    const path = { approvalId: approval.id };
    const read = await dataOf(api.GET("/approvals/{approvalId}", { params: { path } }));
    expect(read.approval).toMatchObject({
      ...approval,
      status: "confirmed",
      resolvedAt: expect.any(String),
      result: {},
    });
    const { receipt } = await dataOf(api.GET("/approvals/{approvalId}/receipt", { params: { path } }));
    expect(receipt.approval).toMatchObject({ id: approval.id, status: "confirmed" });
    const { contract } = await dataOf(
      api.GET("/contracts/{contractId}", { params: { path: { contractId } } }),
    );
    expect(contract.budget.activeMilestone?.id).toBe(milestone.id);
  });

  test("it asks for the release of what is held, for the contract's end, and withdraws what it asked", async () => {
    const [api, fixture] = [await agent, await subscriber];
    const { contract: contractId, milestone } = fixture;
    expect((await dataOf(api.GET("/payments/pending"))).payments).toEqual([]);
    await setPayoutAccount(app, fixture, "acct_1Maria");
    const funding = await dataOf(
      api.POST("/milestones/{milestoneId}/fund", { params: { path: { milestoneId: milestone } } }),
    );
    const path = { approvalId: funding.approval.id };
    const withdrawn = await dataOf(api.POST("/approvals/{approvalId}/withdraw", { params: { path } }));
    expect(withdrawn.approval.result).toEqual({ reason: "withdrawn" });
    const { contract } = await dataOf(
      api.GET("/contracts/{contractId}", { params: { path: { contractId } } }),
    );
    const milestoneId = contract.budget.activeMilestone?.id ?? "";
    const release = await dataOf(
      api.POST("/milestones/{milestoneId}/approve", { params: { path: { milestoneId } } }),
    );
    expect(release.approval.type).toBe("milestone_approve");
    const end = await api.POST("/contracts/{contractId}/end", { params: { path: { contractId } } });
    expect(end.response.status).toBe(202);
  });

  test("it mints a narrower token, which reads and no more, and ends it", async () => {
    const api = await agent;
    const minted = await dataOf(
      api.POST("/tokens", { body: { name: "Reporting", scopes: ["payments:read"] } }),
    );
    const { tokens } = await dataOf(api.GET("/tokens"));
    expect(tokens.map(({ id }) => id)).toContain(minted.metadata.id);
    const reader = connect(minted.token);
    await dataOf(reader.GET("/contracts"));
    const { milestone } = await subscriber;
    const refusal = await refusalOf(
      reader.POST("/milestones/{milestoneId}/fund", { params: { path: { milestoneId: milestone } } }),
    );
    expect(refusal.code).toBe("FORBIDDEN");
    const path = { tokenId: minted.metadata.id };
    const { token } = await dataOf(api.DELETE("/tokens/{tokenId}", { params: { path } }));
    expect(token.status).toBe("revoked");
    expect((await refusalOf(reader.GET("/contracts"))).code).toBe("UNAUTHORIZED");
  });

  test("it subscribes, sees what was delivered, has it sent again, changes the secret and ends it", async () => {
    const [api, fixture] = [await agent, await subscriber];
    const url = "https://receiver.invalid/webhooks";
    const { webhook, secret } = await dataOf(
      api.POST("/webhooks", { body: { url, eventTypes: ["message.received"] } }),
    );
    const path = { webhookId: webhook.id };
    expect((await dataOf(api.GET("/webhooks"))).webhooks).toEqual([webhook]);
    expect((await dataOf(api.GET("/webhooks/{webhookId}", { params: { path } }))).webhook).toEqual(webhook);
    await postMessage(app, fixture);
    const page = await dataOf(
      api.GET("/webhooks/{webhookId}/deliveries", { params: { path, query: { limit: 1 } } }),
    );
    const deliveryId = page.deliveries[0]?.id ?? "";
    const { delivery } = await dataOf(
      api.POST("/webhooks/{webhookId}/deliveries/{deliveryId}/redeliver", {
        params: { path: { ...path, deliveryId } },
      }),
    );
    expect([delivery.id, delivery.status]).toEqual([deliveryId, "PENDING"]);
    const rotated = await dataOf(api.POST("/webhooks/{webhookId}/rotate-secret", { params: { path } }));
    expect(rotated.secret).not.toBe(secret);
    expect((await dataOf(api.DELETE("/webhooks/{webhookId}", { params: { path } }))).deleted).toBe(true);
  });

  test("it asks for a top-up, once for its Idempotency-Key, and reads the credits", async () => {
    const api = await agent;
    const add = () =>
      api.POST("/credits/top-ups", {
        params: { header: { "Idempotency-Key": "top-up" } },
        body: { amountUsd: 250 },
      });
    const asked = await dataOf(add());
    expect(await dataOf(add())).toEqual(asked);
    const path = { topUpId: asked.topUpId };
    expect(await dataOf(api.GET("/credits/top-ups/{topUpId}", { params: { path } }))).toEqual({
      topUp: asked.topUp,
    });
    expect((await dataOf(api.GET("/credits"))).credits.availableCents).toBe(0);
    expect((await dataOf(api.GET("/credits/ledger"))).entries).toEqual([]);
  });

  test("so every operation of the document has been called, and answered as it says", () => {
    const all = description.operations
      .map(({ method, path }) => `${method} ${path}`)
      .filter((operation) => operation.includes("/api/public/"));
    expect([...called].sort()).toEqual(all.sort());
  });
});

describe("a refusal, once its code and reason are compared, is typed by them:", () => {
  const asks = async (options: Parameters<typeof createFixture>[1]) => {
    const { token, milestone } = await createFixture(app, options);
    return refusalOf(
      connect(token).POST("/milestones/{milestoneId}/fund", { params: { path: { milestoneId: milestone } } }),
    );
  };

  test("409, with the page where a human adds a card", async () => {
    const refusal = await asks({ card: false });
    if (refusal.code !== "CONFLICT" || refusal.details.reason !== "payment_method_required") throw refusal;
    const { billingUrl }: { billingUrl: string } = refusal.details;
    expect(billingUrl).toBe(`${PUBLIC_URL}/billing`);
    // @ts-expect-error no other conflict's details are there
    expect(refusal.details.contractId).toBeUndefined();
  });

  test("403, with the page where a human claims the account, or with what the token lacks", async () => {
    const unclaimed = await asks({ claimed: false });
    if (unclaimed.code !== "FORBIDDEN" || !("claimUrl" in unclaimed.details)) throw unclaimed;
    expect(unclaimed.details.claimUrl).toBe(`${PUBLIC_URL}/claim`);
    const reading = await asks({ scopes: ["payments:read"] });
    if (reading.code !== "FORBIDDEN" || !("requiredScopes" in reading.details)) throw reading;
    const { requiredScopes }: { requiredScopes: string[] } = reading.details;
    expect(requiredScopes).toEqual(["payments:write"]);
  });

  test("400, with the field, and 404, with what there is not", async () => {
    const { token } = await createFixture(app);
    const api = connect(token);
    const query = { cursor: "99" };
    const ahead = await refusalOf(api.GET("/updates", { params: { query } }));
    if (ahead.code !== "BAD_REQUEST" || !ahead.details || !("latestCursor" in ahead.details)) throw ahead;
    expect(ahead.details).toEqual({ reason: "cursor_ahead", field: "cursor", latestCursor: "2" });
    const path = { approvalId: "none" };
    const missing = await refusalOf(api.GET("/approvals/{approvalId}", { params: { path } }));
    if (missing.code !== "NOT_FOUND") throw missing;
    expect(missing.details).toEqual({ resource: "approvals", approvalId: "none" });
  });
});

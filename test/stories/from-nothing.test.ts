import type { Browser } from "playwright-core";
import { describe, expect, test } from "vitest";
import { launchBrowser } from "../support/browser.ts";
import type { Answer } from "../support/fixtures.ts";
import { giveContract } from "./operator.ts";
import { createPerson } from "./person.ts";
import { openPostOffice } from "./post-office.ts";
import { startCluster } from "./two-processes.ts";

const browser = await launchBrowser();
const post = await openPostOffice();
const { origin, led } = await startCluster({
  SMTP_URL: post.url,
  DEFAULT_FEATURES: "public_api_payments_write",
});

type Reply = { status: number; headers: Headers; body: Answer["body"] };

async function send(url: string, init: RequestInit = {}): Promise<Reply> {
  const response = await fetch(url, init);
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text.startsWith("{") ? JSON.parse(text) : text,
  };
}

const sendJson = (url: string, body: object) =>
  send(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/** What an agent that reads the description of the API can call: each operation by its name. */
type Api = (operation: string, ids?: Record<string, string>, body?: object) => Promise<Reply>;

async function readApi(descriptionUrl: string, token: () => string): Promise<Api> {
  const { body: description } = await send(descriptionUrl);
  const operations = new Map<string, { method: string; path: string }>();
  for (const [path, methods] of Object.entries<Record<string, { operationId: string }>>(description.paths))
    for (const [method, { operationId }] of Object.entries(methods))
      operations.set(operationId, { method, path });
  return (name, ids = {}, body) => {
    const operation = operations.get(name);
    if (operation === undefined) throw new Error(`the description has no ${name}`);
    const { method, path } = operation;
    const query = new URLSearchParams();
    let filled = path;
    for (const [key, value] of Object.entries(ids)) {
      if (path.includes(`{${key}}`)) filled = filled.replace(`{${key}}`, encodeURIComponent(value));
      else query.set(key, value);
    }
    return send(`${description.servers[0].url}${filled}?${query}`, {
      method: method.toUpperCase(),
      headers: {
        authorization: `Bearer ${token()}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  };
}

describe.skipIf(browser === undefined)("from nothing but the service's address", () => {
  test("an agent comes to a funded milestone, and every refusal leads its human to the page that mends it", async () => {
    const human = await createPerson(browser as Browser, post);

    // Discovery: from a refusal to where one registers, and from the guide for machines to the API's description.
    const guide = String((await send(`${origin}/llms.txt`)).body);
    const description = /https?:\S+openapi\.json/.exec(guide)?.[0] ?? "";
    let token = "none yet";
    const api = await readApi(description, () => token);
    const stranger = await api("getMe");
    expect(stranger.status).toBe(401);
    const metadata = /resource_metadata="([^"]+)"/.exec(stranger.headers.get("www-authenticate") ?? "")?.[1];
    const [issuer] = (await send(metadata ?? "")).body.authorization_servers;
    const endpoints = (await send(`${issuer}/.well-known/oauth-authorization-server`)).body;

    // Registration, and the first refusal: an unclaimed account.
    const named = { agent_name: "Claude Code", organization_name: "Acme Research" };
    const registered = await sendJson(endpoints.agent_auth.identity_endpoint, named);
    expect(registered.status, JSON.stringify(registered.body)).toBe(200);
    token = registered.body.access_token;
    const contractId = await giveContract(origin, (await api("getMe")).body.account.organizationId);
    expect((await api("listContracts")).body.contracts).toMatchObject([{ id: contractId, milestones: [] }]);
    const wish = { description: "Label 5,000 street scenes", amountUsd: 450 };
    const unclaimed = await api("createMilestone", { contractId }, wish);
    expect(unclaimed.status).toBe(403);
    expect(unclaimed.body.details).toMatchObject({
      reason: "account_claim_required",
      claimUrl: `${origin}/claim`,
    });

    // The human claims: the agent hands them its page and its code, the mail leads them on.
    const claiming = await sendJson(registered.body.claim_endpoint, {
      claim_token: registered.body.claim_token,
      email: human.email,
    });
    expect(claiming.status, JSON.stringify(claiming.body)).toBe(200);
    await human.visit(claiming.body.verification_uri, claiming.body.user_code);
    expect((await api("getMe")).status).toBe(401);
    const poll = new URLSearchParams({
      grant_type: registered.body.grant_type,
      claim_token: registered.body.claim_token,
    });
    const given = await send(registered.body.token_endpoint, { method: "POST", body: poll });
    expect(given.status, JSON.stringify(given.body)).toBe(200);
    token = given.body.access_token;

    // The second refusal: no card.
    const { milestone } = (await api("createMilestone", { contractId }, wish)).body;
    const milestoneId: string = milestone.id;
    const cardless = await api("requestMilestoneFunding", { milestoneId });
    expect(cardless.status).toBe(409);
    expect(cardless.body.details.reason).toBe("payment_method_required");
    await human.visit(cardless.body.details.billingUrl);

    // Asked, and asked again: one approval.
    const asked = await api("requestMilestoneFunding", { milestoneId });
    expect(asked.status).toBe(202);
    expect((await api("requestMilestoneFunding", { milestoneId })).body).toEqual(asked.body);

    // The agent waits while its human reads and confirms, and is woken in that very request.
    const { nextCursor } = (await api("listUpdates")).body;
    const waiting = api("listUpdates", { cursor: nextCursor, wait: "30" });
    await human.visit(asked.body.approval.approvalUrl);
    const { events } = (await waiting).body;
    expect(events[0]).toMatchObject({
      type: "approval.confirmed",
      data: { approvalId: asked.body.approval.id, status: "confirmed" },
    });
    const [contract] = (await api("listContracts")).body.contracts;
    expect(contract.milestones).toMatchObject([{ id: milestoneId, status: "ACTIVE_FUNDED" }]);
    expect((await api("getApproval", { approvalId: asked.body.approval.id })).body.approval).toMatchObject({
      status: "confirmed",
      result: { invoiceId: expect.any(String), paymentIntentId: expect.any(String) },
    });
    expect(human.saw).toEqual([
      "Check your email",
      "Claim your agent’s account",
      "You’ve claimed the account",
      "Billing",
      "Billing",
      "Fund $450.00 USD for Maria G.?",
      "$450.00 USD funded",
    ]);
    expect(Math.min(...led)).toBeGreaterThan(5);
  });
});

import { expect, test } from "vitest";
import {
  claim,
  createAgent,
  GRANT_TYPE,
  letPollAge,
  MAILING,
  poll,
  register,
  startClaim,
} from "../support/agents.ts";
import { call, operate } from "../support/fixtures.ts";
import { open, signIn } from "../support/humans.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const service = await startService({ ...MAILING, DEFAULT_FEATURES: "public_api_payments_write" });
const { app, db } = service;

const PRE_CLAIM = [
  "jobs:read",
  "jobs:write",
  "proposals:read",
  "messages:read",
  "payments:read",
  "team:read",
];

test("an agent with nothing but the address finds its way to a token that asks for money", async () => {
  const refused = await call(app, "GET", "/api/public/v1/auth/me");
  const metadata = /resource_metadata="([^"]+)"/.exec(String(refused.headers["www-authenticate"]))?.[1] ?? "";
  const read = async (url: string) => (await call(app, "GET", url.slice(PUBLIC_URL.length))).body;
  const resource = await read(metadata);
  const server = await read(`${resource.authorization_servers[0]}/.well-known/oauth-authorization-server`);
  expect(server.agent_auth.identity_endpoint).toBe(`${PUBLIC_URL}/api/agent/identity`);

  const agent = await createAgent(app);
  const me = await call(app, "GET", "/api/public/v1/auth/me", agent);
  expect(me.body.account).toMatchObject({ organizationId: agent.id, claimed: false });
  const contract = `/accounts/${agent.id}/contracts/c-${agent.id}`;
  await operate(app, "PUT", contract, {
    title: "Street scenes",
    jobId: "job-1",
    paymentType: "FIXED_PRICE",
    freelancer: { userId: "f-1", displayName: "Maria G.", country: "Spain", profilePath: "/maria" },
  });
  await operate(app, "PUT", `/accounts/${agent.id}/milestones/m-${agent.id}`, {
    contractId: `c-${agent.id}`,
    description: "Label 5,000 street scenes",
    amountUsd: 450,
  });
  const fund = (token: string) => call(app, "POST", `/milestones/m-${agent.id}/fund`, { token });
  const early = await fund(agent.token);
  expect([early.status, early.body.details]).toEqual([
    403,
    {
      requiredScopes: ["payments:write"],
      grantedScopes: PRE_CLAIM,
      reason: "account_claim_required",
      action: "fund milestones",
      claimUrl: `${PUBLIC_URL}/claim`,
    },
  ]);

  const started = await startClaim(service, agent);
  expect((await poll(app, agent)).body.error).toBe("authorization_pending");
  const cookie = await claim(app, started, { payments_write: "yes" });
  expect((await call(app, "GET", "/api/public/v1/auth/me", agent)).status).toBe(401);
  await letPollAge(db, agent, 5);
  const given = await poll(app, agent);
  expect(given.status, given.text).toBe(200);
  expect(given.body).toStrictEqual({
    access_token: expect.stringMatching(/^ot_pat_/),
    token_type: "bearer",
    scopes: [
      "jobs:read",
      "jobs:write",
      "proposals:read",
      "proposals:write",
      "messages:read",
      "messages:write",
      "payments:read",
      "payments:write",
      "team:read",
      "team:write",
    ],
  });

  const token = given.body.access_token;
  const now = await call(app, "GET", "/api/public/v1/auth/me", { token });
  expect(now.body).toMatchObject({
    actor: { email: started.email, fullName: "Ada Owner" },
    token: { label: "Claude Code" },
    account: { claimed: true, memberRole: "OWNER" },
  });
  const cardless = await fund(token);
  expect(cardless.body.details).toEqual({
    reason: "payment_method_required",
    billingUrl: `${PUBLIC_URL}/billing`,
  });
  expect((await open(app, "/billing", { cookie })).status).toBe(200);
  await operate(app, "POST", `/accounts/${agent.id}/payment-methods`, { paymentMethod: "pm_card_visa" });
  const asked = await fund(token);
  expect(asked.status).toBe(202);
  const page = await open(app, `/approvals/${asked.body.approval.id}`, { cookie });
  expect(page.text).toContain("Acme Research");
  expect((await signIn(app, started.email)).status).toBe(303);
});

test("registration answers what an agent needs, and nothing else", async () => {
  const before = Date.now();
  const { status, body } = await register(app);
  expect(status).toBe(200);
  expect(body).toStrictEqual({
    identity_type: "anonymous",
    registration_id: expect.stringMatching(/^[A-Za-z0-9._-]{1,64}$/),
    access_token: expect.stringMatching(/^ot_pat_[A-Za-z0-9_-]{65}$/),
    token_type: "bearer",
    scopes: PRE_CLAIM,
    claim_token: expect.stringMatching(/^ot_clm_[A-Za-z0-9_-]{65}$/),
    claim_token_expires_at: expect.stringMatching(/Z$/),
    claim_endpoint: `${PUBLIC_URL}/api/agent/identity/claim`,
    token_endpoint: `${PUBLIC_URL}/api/agent/oauth/token`,
    grant_type: GRANT_TYPE,
  });
  const hours = (Date.parse(body.claim_token_expires_at) - before) / 3_600_000;
  expect(hours).toBeGreaterThan(23.9);
  expect(hours).toBeLessThan(24.1);
});

/**
 * An agent as a reader of OpenTrain's public API reference would write it: it uses that reference's names, fields and
 * statuses alone, and polls, as the reference has it. Run with a base address and a token; prints one line of JSON for
 * each approval that its human has to decide, and one at its end.
 */
import assert from "node:assert/strict";

const [base = "", token = ""] = process.argv.slice(2);
const POLL_MILLISECONDS = 100;

type Answer = { status: number; body: any };

async function call(method: string, path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${base}/api/public/v1${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

async function expectStatus(status: number, ...request: Parameters<typeof call>): Promise<any> {
  const answer = await call(...request);
  assert.equal(answer.status, status, `${request[0]} ${request[1]}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** The envelope of every refusal. */
async function expectRefusal(
  status: number,
  code: string,
  ...request: Parameters<typeof call>
): Promise<any> {
  const refusal = await expectStatus(status, ...request);
  assert.equal(refusal.code, code);
  assert.equal(typeof refusal.error, "string");
  assert.equal(typeof refusal.requestId, "string");
  return refusal.details;
}

/** Hands the link to the human, and polls until they have decided. */
async function waitForDecision({ approval, message }: any): Promise<any> {
  assert.equal(typeof message, "string");
  assert.equal(approval.status, "pending");
  console.log(JSON.stringify({ approvalId: approval.id, approvalUrl: approval.approvalUrl }));
  for (;;) {
    const { approval: now } = await expectStatus(200, "GET", `/approvals/${approval.id}`);
    if (now.status !== "pending") return now;
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
  }
}

const me = await expectStatus(200, "GET", "/auth/me");
assert.ok(me.token.scopes.includes("payments:write"));
assert.equal(me.account.kind, "employer_organization");
const probe = await expectStatus(200, "GET", "/job-drafts/capabilities");
assert.equal(probe.featureKey, "public_api_job_drafting");
assert.equal(probe.enabled, true);
assert.equal(probe.authBootstrap, "token");
assert.equal(probe.capabilities.paymentsWrite, true);
assert.equal(probe.capabilities.hiring, false);

const subscription = await expectStatus(201, "POST", "/webhooks", {
  url: "https://agent.example.com/hooks",
  eventTypes: ["approval.confirmed", "milestone.status_changed"],
});
assert.match(subscription.secret, /^whsec_/);
assert.equal(subscription.webhook.status, "ACTIVE");

const { contracts } = await expectStatus(200, "GET", "/contracts?status=active");
const contractId: string = contracts[0].id;
const { contract } = await expectStatus(200, "GET", `/contracts/${contractId}`);
assert.equal(contract.jobDmConversationId, null);
assert.equal(contract.budget.state, "OK");
const { milestone } = await expectStatus(201, "POST", `/contracts/${contractId}/milestones`, {
  name: "First labeling batch",
  description: "Label the first 5,000 posts per the guidelines",
  amountUsd: 300,
  dueDate: "2030-07-01",
});
assert.equal(milestone.status, "NOT_FUNDED");

const asked = await expectStatus(202, "POST", `/milestones/${milestone.id}/fund`);
assert.deepEqual(await expectStatus(202, "POST", `/milestones/${milestone.id}/fund`), asked);
const funded = await waitForDecision(asked);
assert.equal(funded.status, "confirmed");
assert.equal(typeof funded.result.invoiceId, "string");
const again = await expectRefusal(409, "CONFLICT", "POST", `/milestones/${milestone.id}/fund`);
assert.deepEqual(again, { reason: "milestone_not_fundable", status: "ACTIVE_FUNDED" });

const released = await waitForDecision(
  await expectStatus(202, "POST", `/milestones/${milestone.id}/approve`),
);
assert.equal(released.status, "confirmed");
assert.equal(typeof released.result.payoutTransactionId, "string");

const seen: string[] = [];
let cursor = "0";
for (let more = true; more; ) {
  const page = await expectStatus(200, "GET", `/updates?cursor=${cursor}&limit=50`);
  for (const event of page.events) {
    assert.equal(event.apiVersion, "v1");
    if (event.type === "milestone.status_changed" && event.data.milestoneId === milestone.id)
      seen.push(event.data.status);
  }
  cursor = page.nextCursor;
  more = page.hasMore;
}
assert.deepEqual(seen, ["NOT_FUNDED", "ACTIVE_FUNDED", "PAID"]);

assert.deepEqual(await expectStatus(200, "GET", "/payments/pending"), { payments: [] });
const { credits } = await expectStatus(200, "GET", "/credits");
assert.deepEqual(credits, { availableCents: 0, reservedCents: 0, currency: "usd", recentEntries: [] });
assert.deepEqual(await expectStatus(200, "GET", "/credits/ledger?limit=25"), {
  entries: [],
  nextCursor: null,
});
const topUp = await expectStatus(201, "POST", "/credits/top-ups", { amountUsd: 100 });
assert.equal(topUp.topUp.status, "PENDING");
assert.deepEqual((await expectStatus(200, "GET", `/credits/top-ups/${topUp.topUpId}`)).topUp, topUp.topUp);
const noTopUp = await expectRefusal(404, "NOT_FOUND", "GET", "/credits/top-ups/none");
assert.deepEqual(noTopUp, { resource: "credit-top-ups", topUpId: "none" });

const minted = await expectStatus(201, "POST", "/tokens", { name: "Read-only", scopes: ["jobs:read"] });
assert.equal(minted.tokenType, "bearer");
const { tokens } = await expectStatus(200, "GET", "/tokens");
assert.ok(tokens.some(({ id }: { id: string }) => id === minted.metadata.id));
assert.equal((await expectStatus(200, "DELETE", `/tokens/${minted.metadata.id}`)).token.status, "revoked");
assert.deepEqual(await expectRefusal(404, "NOT_FOUND", "DELETE", "/tokens/none"), { tokenId: "none" });
const scopes = await expectRefusal(400, "BAD_REQUEST", "POST", "/tokens", { scopes: ["everything"] });
assert.deepEqual(scopes.unknownScopes, ["everything"]);
assert.ok(scopes.supportedScopes.includes("payments:read"));

assert.deepEqual(await expectRefusal(400, "BAD_REQUEST", "GET", "/updates?limit=201"), { field: "limit" });
const ended = await expectStatus(200, "POST", `/contracts/${contractId}/end`);
assert.deepEqual(ended, { ok: true, contractId, status: "ended" });
const late = await expectRefusal(409, "CONFLICT", "POST", `/contracts/${contractId}/end`);
assert.equal(late.reason, "contract_ended");
assert.equal((await expectStatus(200, "DELETE", `/webhooks/${subscription.webhook.id}`)).deleted, true);
console.log(JSON.stringify({ done: true }));

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { newSecret } from "../../src/lib/secrets.ts";
import { Description } from "../fuzz/description.ts";
import { runAgent } from "../support/agent-program.ts";
import { claim, GRANT_TYPE, MAILING, mailedSecret } from "../support/agents.ts";
import { PAYOUT_ACCOUNT, setPayoutAccount } from "../support/escrow.ts";
import { type FetchedTools, fetchTools } from "../support/fetched-tools.ts";
import { createFixture, createMilestone } from "../support/fixtures.ts";
import { startForwarder } from "../support/forwarder.ts";
import { createHuman, newEmail } from "../support/humans.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { confirmNow } from "../support/stories.ts";
import { FEATURES, postMessage } from "../support/webhooks.ts";
import { PRISM, startPrism, UPSTREAM, type ValidatingProxy } from "./validating-proxy.ts";

const API = "/api/public/v1";
const OPERATOR = "/api/operator/v1";

const tools = await fetchTools(PRISM);
const service = await startService(MAILING);
const { app, db, config } = service;
/** The service, one that allows one request a minute, and one without a database. */
const upstreams = {
  open: app,
  hurried: (await startService({ RATE_LIMIT_PER_MINUTE: "1", ...MAILING }, config.databaseUrl)).app,
  away: (await startService({}, "postgres://nobody@127.0.0.1:1/nothing")).app,
};
type Upstream = keyof typeof upstreams;

const read = (name: string) =>
  new Description(JSON.parse(readFileSync(join(import.meta.dirname, "../../docs", name), "utf8")));
const documents = {
  agents: { path: `${API}/openapi.json`, description: read("openapi.json") },
  operators: { path: `${OPERATOR}/openapi.json`, description: read("operator-openapi.json") },
};
type Audience = keyof typeof documents;

async function startProxy(audience: Audience): Promise<ValidatingProxy> {
  const { path, description } = documents[audience];
  const headers = audience === "operators" ? { authorization: `Bearer ${OPERATOR_KEY}` } : {};
  const served = await fetch(`${origins.open}${path}`, { headers });
  const given = { name: audience, document: await served.text(), description };
  return startPrism(tools as FetchedTools, given, `http://127.0.0.1:${await passedOn}`);
}

const origins = Object.fromEntries(
  await Promise.all(
    Object.entries(upstreams).map(async ([name, upstream]) => [
      name,
      await upstream.listen({ host: "127.0.0.1", port: 0 }),
    ]),
  ),
) as Record<Upstream, string>;
const passedOn = startForwarder(({ headers }) => ({
  origin: origins[(headers[UPSTREAM] as Upstream | undefined) ?? "open"],
}));

describe.skipIf(tools === undefined)("a validating proxy (Prism) finds every answer described:", () => {
  let ofAgents: ValidatingProxy;
  let ofOperators: ValidatingProxy;
  beforeAll(async () => {
    ofAgents = await startProxy("agents");
    ofOperators = await startProxy("operators");
  }, 500_000);

  test("the story of the compatible API's agent, successes and refusals", async () => {
    const proxy = ofAgents;
    const fixture = await createFixture(app, { features: FEATURES });
    await setPayoutAccount(app, fixture, PAYOUT_ACCOUNT);
    await createHuman(app, fixture.account);
    const program = join(import.meta.dirname, "../stories/reference-agent.ts");
    const told = await runAgent([program, proxy.origin, fixture.token], async ({ approvalId }) =>
      confirm(fixture.account, approvalId),
    );
    expect(told).toMatchObject({ code: 0, complaints: "", done: true });
  });

  test("registration, until the token that a claim gives", async () => {
    const proxy = ofAgents;
    const identity = await proxy.call("POST", "/api/agent/identity", { body: { agent_name: "Prism" } });
    const { claim_token, access_token } = identity;
    const poll = () =>
      proxy.call("POST", "/api/agent/oauth/token", { form: { grant_type: GRANT_TYPE, claim_token } });
    expect((await poll()).error).toBe("authorization_pending");
    const email = newEmail();
    const started = await proxy.call("POST", "/api/agent/identity/claim", { body: { claim_token, email } });
    const me = await proxy.call("GET", `${API}/auth/me`, { token: access_token });
    expect(me.account.claimed).toBe(false);
    const link = await mailedSecret(db, email);
    const agent = { id: "", accountId: "", token: access_token, claimToken: claim_token };
    await claim(app, { agent, email, code: started.user_code, page: "", link });
    const claimed = await poll();
    expect(claimed.token_type).toBe("bearer");
    await proxy.call("POST", "/api/agent/oauth/revoke", { form: { token: claimed.access_token } });
  });

  test("the calls that are ours", async () => {
    const proxy = ofAgents;
    const fixture = await createFixture(app, { features: FEATURES });
    const { token, milestone } = fixture;
    await createHuman(app, fixture.account);
    const call = (method: string, path: string, body?: object) =>
      proxy.call(method, `${API}${path}`, { token, ...(body === undefined ? {} : { body }) });
    await call("GET", "/capabilities");
    const { approval } = await call("POST", `/milestones/${milestone}/fund`);
    await call("POST", `/approvals/${approval.id}/withdraw`);
    const again = (await call("POST", `/milestones/${milestone}/fund`)).approval;
    expect((await call("GET", `/approvals/${again.id}/receipt`)).code).toBe("CONFLICT");
    await confirm(fixture.account, again.id);
    expect((await call("GET", `/approvals/${again.id}/receipt`)).receipt).toBeDefined();
    const url = "https://receiver.invalid/hooks";
    const { webhook } = await call("POST", "/webhooks", { url, eventTypes: ["message.received"] });
    await call("GET", "/webhooks");
    await call("GET", `/webhooks/${webhook.id}`);
    await postMessage(app, fixture);
    const { deliveries } = await call("GET", `/webhooks/${webhook.id}/deliveries`);
    await call("POST", `/webhooks/${webhook.id}/deliveries/${deliveries[0].id}/redeliver`);
    await call("POST", `/webhooks/${webhook.id}/rotate-secret`);
    expect(succeededIn(proxy)).toEqual(callsOf(proxy));
  });

  test("the operator's story", { timeout: 300_000 }, async () => {
    const proxy = ofOperators;
    const call = (method: string, path: string, body?: object) =>
      proxy.call(method, `${OPERATOR}${path}`, {
        token: OPERATOR_KEY,
        ...(body === undefined ? {} : { body }),
      });
    const fixture = await createFixture(app, { features: FEATURES });
    await setPayoutAccount(app, fixture, PAYOUT_ACCOUNT);
    await createHuman(app, fixture.account);
    const at = `/accounts/${fixture.account}`;
    const [contract, milestone] = [
      `${at}/contracts/${fixture.contract}`,
      `${at}/milestones/${fixture.milestone}`,
    ];
    await call("PUT", `${at}-new`, { name: "New", features: FEATURES });
    await call("PUT", at, { billing: "card" });
    await call("PUT", contract, { title: "Street scenes, by night" });
    await call("PUT", milestone, { name: "First batch" });
    await call("POST", `${at}/events`, { type: "message.received", resourceId: "message-1", data: { n: 1 } });
    const { paymentMethod } = await call("POST", `${at}/payment-methods`, { paymentMethod: "pm_card_visa" });
    const { metadata } = await call("POST", `${at}/tokens`, { name: "Second", scopes: ["jobs:read"] });
    const invited = { email: newEmail(), name: "Grace", role: "viewer" };
    const grace = (await call("POST", `${at}/members`, invited)).member;
    await call("PATCH", `${at}/members/${grace.id}`, { name: "Grace H." });
    await call("GET", `${at}/members/${grace.id}`);
    await call("POST", `${at}/credits/adjustments`, { amountCents: 5_000, note: "Goodwill" });
    const asked = (await call("POST", `${milestone}/fund`)).approval;
    await call("POST", `${at}/approvals/${asked.id}/withdraw`);
    const funding = (await call("POST", `${milestone}/fund`)).approval;
    await confirm(fixture.account, funding.id);
    await call("PUT", milestone, { amountUsd: 1 });
    await call("POST", `${milestone}/approve`);
    await createMilestone(app, fixture, `${fixture.milestone}-2`);
    await call("POST", `${milestone}-2/cancel`);
    await call("PUT", "/webhook", { url: "https://receiver.invalid/operator" });
    await call("PUT", "/pause", { paymentsPaused: false });
    for (const path of [
      ...["/accounts", "/approvals", "/payments", "/audit", "/updates", "/webhook", "/pause"],
      ...["", "/audit", "/payment-methods", "/contracts", "/events", "/milestones", "/webhooks"].map(
        (of) => at + of,
      ),
      ...["/tokens", "/members"].map((of) => at + of),
      ...[contract, milestone, `/sandbox/charges?accountId=${fixture.account}`],
    ])
      await call("GET", path);
    await call("POST", `${contract}/end`);
    await call("POST", "/webhook/rotate-secret");
    await call("DELETE", "/webhook");
    await call("DELETE", `${at}/tokens/${metadata.id}`);
    await call("DELETE", `${at}/members/${grace.id}`);
    await call("DELETE", `${at}/payment-methods/${paymentMethod.id}`);
    expect(succeededIn(proxy)).toEqual(callsOf(proxy));
  });

  test("what any call is refused for: 401, 403, 404, 429 and 503", { timeout: 300_000 }, async () => {
    const unknown = newSecret("ot_pat_", accountKey("acct-1")).value;
    const { token: able } = await createFixture(app, { features: FEATURES });
    const { token: unable } = await createFixture(app, { scopes: [], claimed: false });
    const { token: hurried } = await createFixture(app);
    await ofAgents.call("GET", `${API}/auth/me`, { token: hurried, upstream: "hurried" });
    for (const operation of ofAgents.description.operations) {
      await ofAgents.callAnyhow(operation, {});
      for (const token of [unknown, able, unable]) await ofAgents.callAnyhow(operation, { token });
      await ofAgents.callAnyhow(operation, { token: hurried, upstream: "hurried" });
      await ofAgents.callAnyhow(operation, { token: unknown, upstream: "away" });
    }
    for (const operation of ofOperators.description.operations) {
      await ofOperators.callAnyhow(operation, {});
      await ofOperators.callAnyhow(operation, { token: OPERATOR_KEY });
      await ofOperators.callAnyhow(operation, { token: OPERATOR_KEY, upstream: "away" });
    }
    await ofOperators.call("PUT", `${OPERATOR}/pause`, {
      token: OPERATOR_KEY,
      body: { paymentsPaused: true },
    });
    const { token, milestone } = await createFixture(app);
    const paused = await ofAgents.call("POST", `${API}/milestones/${milestone}/fund`, { token });
    expect(paused.details.reason).toBe("payments_paused");
    console.log(
      `Prism saw ${ofAgents.answers.length} answers to agents, ${ofOperators.answers.length} to the operator`,
    );
    const statuses = (proxy: ValidatingProxy) =>
      [...new Set(proxy.answers.map((answer) => answer.slice(-3)))].sort();
    expect(statuses(ofAgents)).toEqual(
      expect.arrayContaining(["400", "401", "403", "404", "409", "429", "503"]),
    );
    expect(statuses(ofOperators)).toEqual(expect.arrayContaining(["400", "401", "404", "409", "503"]));
  });

  test("nothing was undescribed", () => {
    expect(ofAgents.undescribed).toEqual([]);
    expect(ofOperators.undescribed).toEqual([]);
  });
});

async function confirm(account: string, approvalId: string): Promise<void> {
  const processor = createSandbox(db, config.publicUrl);
  await confirmNow({ db, config, processor }, { accountId: accountKey(account), approvalId });
}

/** Every call of a proxy's document. */
function callsOf({ description }: ValidatingProxy): string[] {
  return description.operations.map(({ method, path }) => `${method.toUpperCase()} ${path}`).sort();
}

function succeededIn({ answers }: ValidatingProxy): string[] {
  return [
    ...new Set(answers.filter((answer) => / 2\d\d$/.test(answer)).map((answer) => answer.slice(0, -4))),
  ].sort();
}

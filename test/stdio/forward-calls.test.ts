import { describe, expect, test } from "vitest";
import { TOOLS } from "../../src/mcp/tools.ts";
import { connectTo, ERAS } from "../mcp/clients.ts";
import { begin, decide, putCard } from "../support/approval-scene.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import { some } from "../support/long.ts";
import { waitUntil } from "../support/process.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { listen, newHome, startProgram } from "./programs.ts";

const service = await startService();
const { app, waiters } = service;
const url = await listen(app);
/** A wait is given up, or is over after 30 seconds. */
const BEFORE_IT_ENDS_BY_ITSELF = 20_000;
const FUND = "opentrain_request_milestone_funding";

describe.each(some(ERAS, 1))("the stdio program, %s protocol", (era) => {
  const start = async (token: string, showUrl?: Parameters<typeof startProgram>[0]["showUrl"]) =>
    startProgram({ url, home: await newHome(), token, era, showUrl });

  test("lists the tools of `/mcp` as they are, after those by which a token is had", async () => {
    const { token } = await createFixture(app);
    const { client } = await start(token);
    const { tools } = await client.listTools();
    const remote = await (await connectTo(app, { era, token })).listTools();
    expect(tools.slice(0, 3).map(({ name }) => name)).toEqual([
      "opentrain_register_agent",
      "opentrain_claim_account",
      "opentrain_claim_status",
    ]);
    expect(tools.slice(3)).toEqual(remote.tools);
    expect(client.getInstructions()).toContain("opentrain_register_agent");
    for (const { name, inputSchema, description } of tools.slice(0, 3)) {
      expect(inputSchema, name).toMatchObject({ type: "object", additionalProperties: false });
      expect(description, name).not.toBe("");
    }
  });

  test("answers every tool as `/mcp` does, refusals with their links among them", async () => {
    const { token, contract, milestone } = await createFixture(app, { card: false });
    const [program, remote] = [await start(token), await connectTo(app, { era, token })];
    const both = async (name: string, args: Record<string, unknown> = {}) => {
      const [ours, theirs] = [
        await program.client.callTool({ name, arguments: args }),
        await remote.callTool({ name, arguments: args }),
      ];
      const bare = (result: object) =>
        JSON.parse(JSON.stringify(result).replaceAll(/requestId: [\w-]+/g, "requestId: …"));
      expect(bare(ours), name).toEqual(bare(theirs));
      called.add(name);
      return ours;
    };
    const called = new Set<string>();
    const refused = await both(FUND, { milestoneId: milestone });
    expect(JSON.stringify(refused)).toMatch(/409 CONFLICT, payment_method_required.*\/billing/);
    await both(FUND, { milestoneId: 7 });
    const added = { contractId: contract, description: "More", amountUsd: 3, idempotencyKey: "once" };
    await remote.callTool({ name: "opentrain_create_milestone", arguments: added });
    await both("opentrain_create_milestone", added);
    const other = await begin(service);
    await both("opentrain_get_approval", { approvalId: other.approvalId });
    for (const [name, args] of [
      ["opentrain_auth_status", {}],
      ["opentrain_capabilities", {}],
      ["opentrain_list_contracts", { status: "active" }],
      ["opentrain_get_contract", { contractId: contract }],
      ["opentrain_wait_for_approval", { approvalId: other.approvalId }],
      ["opentrain_poll_updates", { cursor: "1", limit: 1 }],
      ["opentrain_request_milestone_approval", { milestoneId: milestone }],
      ["opentrain_withdraw_approval", { approvalId: other.approvalId }],
      ["opentrain_get_credits", {}],
      ["opentrain_list_credit_ledger", {}],
      ["opentrain_create_credit_top_up", { amountUsd: 1 }],
      ["opentrain_get_credit_top_up", { topUpId: other.approvalId }],
      ["opentrain_list_pending_payments", {}],
      ["opentrain_create_webhook", { url: "x", eventTypes: [] }],
      ["opentrain_list_webhooks", {}],
      ["opentrain_get_webhook", { webhookId: other.approvalId }],
      ["opentrain_delete_webhook", { webhookId: other.approvalId }],
      ["opentrain_list_tokens", {}],
      ["opentrain_revoke_token", { tokenId: other.approvalId }],
      ["opentrain_end_contract", { contractId: "unknown" }],
    ] as const)
      await both(name, args);
    expect([...called].sort()).toEqual(TOOLS.map(({ name }) => name).sort());
    await expect(program.client.callTool({ name: "opentrain_confirm", arguments: {} })).rejects.toMatchObject(
      {
        code: -32602,
      },
    );
  });

  test("leads the human through card and approval in one call, where the client can show pages", async () => {
    const fixture = await createFixture(app, { card: false });
    const shown: string[] = [];
    const { call } = await start(fixture.token, async (request) => {
      shown.push(request.url);
      if (request.url.endsWith("/billing")) await putCard(app, fixture, "pm_card_visa");
      return "accept";
    });
    const { body, text } = await call(FUND, { milestoneId: fixture.milestone });
    expect(shown).toEqual([`${PUBLIC_URL}/billing`, body.approval.approvalUrl]);
    expect(text).toMatch(/^PENDING/);
  });

  test("waits for a human's decision, and wakes with it", async () => {
    const story = await begin(service);
    const { call } = await start(story.token);
    const held = call("opentrain_wait_for_approval", { approvalId: story.approvalId, waitSeconds: 30 });
    await waitUntil(() => waiters.count === 1, "the call waits at the service");
    await decide(service, story, "confirm");
    expect((await held).text).toMatch(/^CONFIRMED/);
  });

  test("gives up at the service what its client has given up", async () => {
    const story = await begin(service);
    const { client } = await start(story.token);
    const giveUp = new AbortController();
    const held = client.callTool(
      { name: "opentrain_wait_for_approval", arguments: { approvalId: story.approvalId, waitSeconds: 30 } },
      { signal: giveUp.signal },
    );
    await waitUntil(() => waiters.count === 1, "the call waits at the service");
    giveUp.abort();
    await expect(held).rejects.toThrow();
    await waitUntil(() => waiters.count === 0, "no request waits", BEFORE_IT_ENDS_BY_ITSELF);
  });
});

test("a refusal that comes before any tool is told in the same words: too many calls", async () => {
  const hurried = await startService({ RATE_LIMIT_PER_MINUTE: "1" }, service.config.databaseUrl);
  const { token } = await createFixture(app);
  const program = await startProgram({ url: await listen(hurried.app), home: await newHome(), token });
  await program.call("opentrain_auth_status");
  const { text, isError } = await program.call("opentrain_auth_status");
  expect(isError).toBe(true);
  expect(text).toMatch(/REFUSED \(429 RATE_LIMITED\).*"retryAfterSeconds":\d+/s);
});

test("an unclaimed account is led to its claim", async () => {
  const fixture = await createFixture(app, { claimed: false });
  const shown: string[] = [];
  const program = await startProgram({
    url,
    home: await newHome(),
    token: fixture.token,
    showUrl: async (request) => {
      shown.push(request.url);
      await operate(app, "PUT", `/accounts/${fixture.account}`, { claimed: true });
      return "accept";
    },
  });
  const { body } = await program.call(FUND, { milestoneId: fixture.milestone });
  expect(shown[0]).toBe(`${PUBLIC_URL}/claim`);
  expect(body.approval.status).toBe("pending");
});

import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { describe, expect, test } from "vitest";
import { call, createFixture } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";
import { approvalIn, connectTo, ERAS, textOf } from "./clients.ts";

const { app } = await startService();
const PREFIX = "/api/public/v1";

describe.each(ERAS)("the official client, %s protocol", (era) => {
  test("lists tools that say what they do and never do, with strict arguments", async () => {
    const { token } = await createFixture(app);
    const client = await connectTo(app, { era, token });
    expect(client.getInstructions()).toContain("lets a human decide");
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      "opentrain_auth_status",
      "opentrain_capabilities",
      "opentrain_list_contracts",
      "opentrain_get_contract",
      "opentrain_create_milestone",
      "opentrain_request_milestone_funding",
      "opentrain_get_approval",
      "opentrain_wait_for_approval",
      "opentrain_poll_updates",
      "opentrain_request_milestone_approval",
      "opentrain_end_contract",
      "opentrain_withdraw_approval",
      "opentrain_get_credits",
      "opentrain_list_credit_ledger",
      "opentrain_create_credit_top_up",
      "opentrain_get_credit_top_up",
      "opentrain_list_pending_payments",
      "opentrain_create_webhook",
      "opentrain_list_webhooks",
      "opentrain_get_webhook",
      "opentrain_delete_webhook",
      "opentrain_list_tokens",
      "opentrain_revoke_token",
    ]);
    for (const { name, description = "", inputSchema, outputSchema, annotations, title } of tools) {
      expect(title, name).toBeDefined();
      const ends = /_(end|withdraw|delete|revoke)_/.test(name);
      const writes = ends || /create|request/.test(name);
      if (!writes) expect(description, name).toMatch(/Changes nothing\.$/);
      if (/milestone/.test(name) && writes) expect(description, name).toMatch(/never moves money and/);
      expect(annotations, name).toEqual({
        readOnlyHint: !writes,
        destructiveHint: ends,
        idempotentHint: !name.includes("create"),
        openWorldHint: false,
      });
      expect(inputSchema, name).toMatchObject({ type: "object", additionalProperties: false });
      // Alone, as a client has it: it would throw over a reference to what is not there.
      const ajv = addFormats.default(new Ajv2020({ strict: false }));
      expect(() => [ajv.compile(inputSchema), ajv.compile(outputSchema as object)], name).not.toThrow();
      expect(outputSchema, name).toMatchObject({ type: "object" });
    }
  });

  test("calls every tool, and each answers what its route answers, in words beside it", async () => {
    const { token, contract, milestone } = await createFixture(app);
    const client = await connectTo(app, { era, token });
    const route = async (path: string) => (await call(app, "GET", `${PREFIX}${path}`, { token })).body;
    const run = async (name: string, args: Record<string, unknown> = {}) => {
      const result = await client.callTool({ name, arguments: args });
      expect(result.isError, textOf(result)).toBeUndefined();
      expect(JSON.parse(textOf(result).split("\n").at(-1) ?? "")).toEqual(result.structuredContent);
      return result;
    };
    const asked = await run("opentrain_request_milestone_funding", { milestoneId: milestone });
    const approval = approvalIn(asked);
    expect(approval).toEqual((await route(`/approvals/${approval.id}`)).approval);
    expect(textOf(asked)).toContain(`PENDING: not decided yet, and nothing has been charged`);
    expect(textOf(asked)).toContain(approval.approvalUrl);
    const again = await run("opentrain_request_milestone_funding", { milestoneId: milestone });
    expect(again).toEqual(asked);
    const added = {
      contractId: contract,
      description: "Second batch",
      amountUsd: 300,
      idempotencyKey: "b-2",
    };
    const made = await run("opentrain_create_milestone", added);
    const repeated = await run("opentrain_create_milestone", added);
    expect(repeated.structuredContent).toEqual(made.structuredContent);
    const { milestones } = (await route(`/contracts/${contract}`)).contract;
    expect(milestones[1]).toEqual((made.structuredContent as { milestone: unknown }).milestone);
    expect(milestones).toHaveLength(2);
    for (const [name, args, path] of [
      ["opentrain_auth_status", {}, "/auth/me"],
      ["opentrain_capabilities", {}, "/capabilities"],
      ["opentrain_list_contracts", { status: "active" }, "/contracts?status=active"],
      ["opentrain_get_contract", { contractId: contract }, `/contracts/${contract}`],
      ["opentrain_get_approval", { approvalId: approval.id }, `/approvals/${approval.id}`],
      [
        "opentrain_wait_for_approval",
        { approvalId: approval.id, waitSeconds: 1 },
        `/approvals/${approval.id}`,
      ],
      ["opentrain_poll_updates", { cursor: "1", limit: 1 }, "/updates?cursor=1&limit=1"],
      ["opentrain_poll_updates", { cursor: "3", wait: 1 }, "/updates?cursor=3"],
    ] as const) {
      expect((await run(name, args)).structuredContent, name).toEqual(await route(path));
    }
  });

  test("calls the tools of credits, requests, webhooks and tokens, and each answers what its route answers", async () => {
    const features = {
      public_api_payments_write: true,
      public_api_credits: true,
      public_api_webhooks: true,
    };
    const { token, contract, milestone } = await createFixture(app, { features });
    const client = await connectTo(app, { era, token });
    const route = async (path: string) => (await call(app, "GET", `${PREFIX}${path}`, { token })).body;
    const result = async (name: string, args: Record<string, unknown> = {}) =>
      client.callTool({ name: `opentrain_${name}`, arguments: args });
    const run = async (name: string, args: Record<string, unknown> = {}) => {
      const done = await result(name, args);
      expect(done.isError, textOf(done)).toBeUndefined();
      return done.structuredContent as any;
    };
    const asked = { amountUsd: 250, idempotencyKey: "top-up-1" };
    const topUp = await run("create_credit_top_up", asked);
    expect(await run("create_credit_top_up", asked)).toEqual(topUp);
    expect(await run("get_credit_top_up", { topUpId: topUp.topUpId })).toEqual({ topUp: topUp.topUp });
    expect(await run("get_credits")).toEqual(await route("/credits"));
    expect(await run("list_credit_ledger", { limit: 5 })).toEqual(await route("/credits/ledger?limit=5"));
    expect(await run("list_pending_payments")).toEqual(await route("/payments/pending"));
    const url = "https://example.com/hook";
    const made = await run("create_webhook", { url, eventTypes: ["approval.confirmed"] });
    const webhookId = made.webhook.id;
    expect(made.secret).toMatch(/^whsec_/);
    expect(await run("list_webhooks")).toEqual(await route("/webhooks"));
    expect(await run("get_webhook", { webhookId })).toEqual({ webhook: made.webhook });
    expect(await run("delete_webhook", { webhookId })).toEqual({ webhook: made.webhook, deleted: true });
    const { approval } = await run("request_milestone_funding", { milestoneId: milestone });
    const withdrawn = await run("withdraw_approval", { approvalId: approval.id });
    expect(withdrawn.approval).toMatchObject({ status: "expired", result: { reason: "withdrawn" } });
    const refused = await result("request_milestone_approval", { milestoneId: milestone });
    expect(textOf(refused)).toContain("milestone_not_funded");
    expect(await run("end_contract", { contractId: contract })).toEqual({
      ok: true,
      contractId: contract,
      status: "ended",
    });
    const { tokens } = await run("list_tokens");
    expect(tokens).toHaveLength(1);
    const { token: revoked } = await run("revoke_token", { tokenId: tokens[0].id });
    expect(revoked.status).toBe("revoked");
    await expect(result("list_tokens")).rejects.toThrow();
  });
});

import { type Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import type { Browser } from "playwright-core";
import { describe, expect, test } from "vitest";
import type { Approval } from "../../src/approvals/schemas.ts";
import type { Contract, Milestone } from "../../src/contracts/schemas.ts";
import { createClient, textOf } from "../mcp/clients.ts";
import { newHome, readKept, startProgram } from "../stdio/programs.ts";
import { launchBrowser } from "../support/browser.ts";
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

describe.skipIf(browser === undefined)("from nothing but the service's address, by MCP,", () => {
  test("an agent registers and pays by the stdio program, then with its token at /mcp of either process", async () => {
    const human = await createPerson(browser as Browser, post);
    const home = await newHome();
    const shown: string[] = [];
    const { call, stderr } = await startProgram({
      url: origin,
      home,
      showUrl: async ({ url, message }) => {
        shown.push(new URL(url).pathname);
        await human.visit(url, /digits for you: (\d{6})/.exec(message)?.[1]);
        return "accept";
      },
    });

    const stranger = await call("opentrain_auth_status");
    expect([stranger.isError, stranger.text]).toEqual([true, expect.stringContaining("NOT REGISTERED")]);
    const names = { agentName: "Claude Code", organizationName: "Acme Research" };
    expect((await call("opentrain_register_agent", names)).text).toContain("REGISTERED");
    const me = (await call("opentrain_auth_status")).body;
    const contractId = await giveContract(origin, me.account.organizationId);
    const wish = { contractId, description: "Label 5,000 street scenes", amountUsd: 450 };
    // No human is named yet: the page tells the human what their agent has to do first.
    const early = await call("opentrain_create_milestone", wish);
    expect(early.text).toMatch(/REFUSED \(403 .*account_claim_required/);
    expect(early.text).toContain(`${origin}/claim`);

    const claimed = await call("opentrain_claim_account", { email: human.email });
    expect([claimed.isError, claimed.text]).toEqual([false, expect.stringContaining("CLAIMED")]);
    const { milestone } = (await call("opentrain_create_milestone", wish)).body;
    // Card and approval, each shown to the human when it is what stands in the way: one call.
    const funded = await call("opentrain_request_milestone_funding", { milestoneId: milestone.id });
    expect(funded.text).toMatch(/^CONFIRMED/);
    expect(funded.body.approval).toMatchObject({ status: "confirmed", milestoneId: milestone.id });
    expect(shown.slice(-3)).toEqual([
      "/claim",
      "/billing",
      new URL(funded.body.approval.approvalUrl).pathname,
    ]);

    // The same token by /mcp, with a client that cannot show pages: one asks, another waits and is woken.
    const { modes, kept } = readKept(home, origin);
    expect(modes).toEqual(["700", "600"]);
    const connect = async (): Promise<Client> => {
      const client = createClient();
      await client.connect(
        new StreamableHTTPClientTransport(new URL(`${origin}/mcp`), {
          requestInit: { headers: { authorization: `Bearer ${kept.token}` } },
        }),
      );
      return client;
    };
    const [asks, waits] = [await connect(), await connect()];
    const before = [...led];
    const again = await asks.callTool({
      name: "opentrain_create_milestone",
      arguments: { ...wish, description: "And 1,000 more", amountUsd: 90 },
    });
    const { id: milestoneId } = (again.structuredContent as { milestone: Milestone }).milestone;
    const asked = await asks.callTool({
      name: "opentrain_request_milestone_funding",
      arguments: { milestoneId },
    });
    expect(textOf(asked)).toMatch(/^PENDING/);
    const { approval } = asked.structuredContent as { approval: Approval };
    expect(textOf(asked)).toContain(approval.approvalUrl);
    const waiting = waits.callTool({
      name: "opentrain_wait_for_approval",
      arguments: { approvalId: approval.id, waitSeconds: 30 },
    });
    await human.visit(approval.approvalUrl);
    expect(textOf(await waiting)).toMatch(/^CONFIRMED/);
    const { contract } = (await asks.callTool({ name: "opentrain_get_contract", arguments: { contractId } }))
      .structuredContent as { contract: Contract };
    expect(contract.milestones.map(({ status }) => status)).toEqual(["ACTIVE_FUNDED", "ACTIVE_FUNDED"]);
    expect(led.every((count, i) => count > (before[i] ?? 0))).toBe(true);
    expect(stderr()).not.toContain("ot_");
  });
});

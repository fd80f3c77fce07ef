import { describe, expect, test } from "vitest";
import { unclaim } from "../http/rows.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import { begin, decide, putCard } from "../support/page-states.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { connectTo, type ShowUrl, textOf } from "./clients.ts";

const service = await startService();
const { app, db } = service;
const FUND = "opentrain_request_milestone_funding";

/** Asks for the milestone's funding with a client that can show pages; `human` is who looks at them. */
async function ask({ token, milestone }: { token: string; milestone: string }, human: ShowUrl) {
  const shown: string[] = [];
  const client = await connectTo(app, {
    token,
    showUrl: async (request) => {
      shown.push(request.url);
      return human(request);
    },
  });
  const result = await client.callTool({ name: FUND, arguments: { milestoneId: milestone } });
  return { shown, result, text: textOf(result), approval: (result.structuredContent as any)?.approval };
}

describe("a client that can show a page", () => {
  test("shows the approval's page once, and the call answers the approval that it asked for", async () => {
    const fixture = await createFixture(app);
    const { shown, approval, text } = await ask(fixture, async () => "accept");
    expect(shown).toEqual([approval.approvalUrl]);
    expect(approval.status).toBe("pending");
    expect(text).toMatch(/^PENDING/);
  });

  test("learns in the same call that the human has confirmed there", async () => {
    const story = await begin(service);
    const { shown, approval, text } = await ask(story, async () => {
      await decide(service, story, "confirm");
      return "accept";
    });
    expect(shown).toEqual([`${PUBLIC_URL}/approvals/${story.approvalId}`]);
    expect([approval.id, approval.status]).toEqual([story.approvalId, "confirmed"]);
    expect(text).toMatch(/^CONFIRMED/);
  });

  test.each(["decline", "cancel"] as const)(
    "and whose human says %s to opening it has decided nothing",
    async (said) => {
      const { approval, text } = await ask(await createFixture(app), async () => said);
      expect(approval.status).toBe("pending");
      expect(text).toMatch(/^Your human did not open the link.*That decides nothing.*PENDING/s);
    },
  );

  test("is led through claim, card and approval in one call", async () => {
    const fixture = await createFixture(app, { claimed: false, card: false });
    const { shown, approval } = await ask(fixture, async ({ url }) => {
      if (url.endsWith("/claim"))
        await operate(app, "PUT", `/accounts/${fixture.account}`, { claimed: true });
      if (url.endsWith("/billing")) await putCard(app, fixture, "pm_card_visa");
      return "accept";
    });
    expect(shown).toEqual([`${PUBLIC_URL}/claim`, `${PUBLIC_URL}/billing`, approval.approvalUrl]);
    expect(approval.status).toBe("pending");
  });

  test("is not shown a page again for what its human has not mended there: it is told", async () => {
    const fixture = await createFixture(app, { card: false });
    const { shown, result, text } = await ask(fixture, async () => "accept");
    expect(shown).toEqual([`${PUBLIC_URL}/billing`]);
    expect(result.isError).toBe(true);
    expect(text).toMatch(/REFUSED \(409 CONFLICT, payment_method_required\)/);
  });

  test("cannot be made to tell of another account's approval by the state that it hands back", async () => {
    const [mine, theirs] = [await createFixture(app), await begin(service)];
    const client = await connectTo(app, { token: mine.token });
    const result = await client.request({
      method: "tools/call",
      params: {
        name: FUND,
        arguments: { milestoneId: mine.milestone },
        requestState: theirs.approvalId,
        inputResponses: { approval: { action: "accept" } },
      },
    } as never);
    expect(textOf(result as never)).toMatch(/404 NOT_FOUND/);
  });

  test("passes no gate by coming back: an account that was given up is refused", async () => {
    const fixture = await createFixture(app);
    const { result, text } = await ask(fixture, async () => {
      await unclaim(db, fixture);
      return "accept";
    });
    expect(result.isError).toBe(true);
    expect(text).toContain(`${PUBLIC_URL}/claim`);
  });
});

describe("a client that cannot", () => {
  test.each(["modern", "legacy"] as const)("has the link in the text, %s protocol", async (era) => {
    const { token, milestone } = await createFixture(app);
    const client = await connectTo(app, { era, token });
    const result = await client.callTool({ name: FUND, arguments: { milestoneId: milestone } });
    expect(textOf(result)).toContain((result.structuredContent as any).approval.approvalUrl);
  });
});

import { describe, expect, test } from "vitest";
import { unclaim } from "../http/rows.ts";
import { begin, decide, putCard } from "../support/approval-scene.ts";
import { createFixture, fund, operate } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { approvalIn, connectTo, type ShowUrl, textOf } from "./clients.ts";

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
  return { shown, result, text: textOf(result), approval: approvalIn(result) };
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

  /** The state that a call for the milestone's funding hands its client, and a call that hands one back. */
  async function resumable({ token }: { token: string }) {
    const client = await connectTo(app, { token, showUrl: async () => "accept" });
    const send = (params: object) =>
      client.request({ method: "tools/call", params } as never, { allowInputRequired: true } as never);
    return {
      begin: async (milestoneId: string): Promise<string> =>
        ((await send({ name: FUND, arguments: { milestoneId } })) as { requestState: string }).requestState,
      resume: (requestState: string, args: object, name = FUND) =>
        send({
          name,
          arguments: args,
          requestState,
          inputResponses: { approval: { action: "accept" } },
        }) as Promise<{ structuredContent: { approval: { status: string } } }>,
    };
  }

  test("resumes its call with the same arguments alone, in its own account, by a state of ours", async () => {
    const [mine, theirs] = [await createFixture(app), await createFixture(app)];
    const [one, other] = [await resumable(mine), await resumable(theirs)];
    const state = await one.begin(mine.milestone);
    expect((await one.resume(state, { milestoneId: mine.milestone })).structuredContent.approval.status).toBe(
      "pending",
    );
    const { approval } = (await fund(app, mine.token, mine.milestone)).body;
    const payload = Buffer.from(JSON.stringify({ p: approval.id, exp: 9_999_999_999 })).toString("base64url");
    for (const refused of [
      () => one.resume(state, { milestoneId: theirs.milestone }),
      () => one.resume(state, {}),
      () => one.resume(state, { approvalId: approval.id }, "opentrain_get_approval"),
      () => one.resume(approval.id, { milestoneId: mine.milestone }),
      () => one.resume(`v1.${payload}.${state.split(".")[2]}`, { milestoneId: mine.milestone }),
      () => other.resume(state, { milestoneId: mine.milestone }),
    ])
      await expect(refused()).rejects.toMatchObject({ code: -32602 });
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
    expect(textOf(result)).toContain(approvalIn(result).approvalUrl);
  });
});

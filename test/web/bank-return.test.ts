import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { findLatestPayment } from "../../src/billing/payment-service.ts";
import { newId } from "../../src/lib/ids.ts";
import { createHuman, type HumanFixture, hiddenValue, open, submit } from "../support/humans.ts";
import { openRails } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { confirmNow, createStories, readOutcome, type Story } from "../support/stories.ts";

const worlds = await Promise.all(
  (await openRails()).map(async (rails) => ({
    ...(await startService({}, undefined, rails)),
    name: rails.name,
    rails,
  })),
);

describe.for(worlds)("back from the bank, over the rails of $name", ({ app, db, config, rails }) => {
  async function createAsked() {
    const { fixture, human, stories } = await createStories(app, rails.cards.authenticates, 1);
    const story = stories[0] as Story;
    await confirmNow({ db, config, processor: rails.open(db) }, story);
    const payment = await findLatestPayment(db, story.accountId, story.approvalId);
    const intentId = payment?.intentId ?? "";
    const back = `${story.path}?payment_intent=${intentId}&payment_intent_client_secret=x&redirect_status=succeeded`;
    const answer = (passed: boolean) => rails.answerBank(db, intentId, passed);
    return { fixture, human, story, intentId, back, answer };
  }

  const look = async ({ path }: Story, { cookie }: HumanFixture, address = path) => {
    const page = await open(app, address, { cookie });
    return submit(app, `${path}/look`, { form_token: hiddenValue(page, `${path}/look`) }, { cookie });
  };

  test.for([
    [true, { approval: "confirmed", payment: "succeeded" }, "Funded."],
    [false, { approval: "pending", payment: "refused" }, "The bank could not confirm that it was you."],
  ] as const)(
    "the page asks what the bank said with one form, and then says it: %s",
    async ([passed, end, said]) => {
      const { story, human, back, answer } = await createAsked();
      await answer(passed);
      const page = await open(app, back, human);
      expect(page.text).toContain("You’re back from your bank.");
      expect(page.text).toContain(`action="${story.path}/look" data-send`);
      expect(page.text).toMatch(/<script type="module" src="\/assets\/send\.[0-9a-f]{12}\.js"><\/script>/);
      expect(String(page.headers["content-security-policy"])).toContain("script-src 'self'");
      const { status, headers } = await look(story, human, back);
      expect([status, headers.location]).toEqual([303, story.path]);
      expect(await readOutcome(db, story)).toEqual(end);
      expect((await open(app, story.path, human)).text).toContain(said);
    },
  );

  test("to open the page, there or anywhere, makes no call and changes nothing", async () => {
    const { story, human, back, answer } = await createAsked();
    await answer(true);
    const before = await sql`select * from payments where approval_id = ${story.approvalId}`.execute(db);
    for (const address of [back, story.path, "/billing", "/approvals"]) await open(app, address, human);
    const after = await sql`select * from payments where approval_id = ${story.approvalId}`.execute(db);
    expect(after.rows).toEqual(before.rows);
  });

  test("who has not answered is led to the bank again, and who comes with another's address too", async () => {
    const { story, human } = await createAsked();
    const other = await createAsked();
    for (const address of [story.path, `${story.path}?payment_intent=${other.intentId}`]) {
      const page = await open(app, address, human);
      expect(page.text).toContain("Continue to my bank");
      // No script sends anything for them.
      expect(page.text).not.toMatch(/data-send|assets\/send/);
    }
    expect(
      (
        await look(
          story,
          human,
          `${story.path}?payment_intent=${(await findLatestPayment(db, story.accountId, story.approvalId))?.intentId}`,
        )
      ).status,
    ).toBe(303);
    expect((await open(app, story.path, human)).text).toContain("Continue to my bank");
  });

  test("another process that reads it is waited for, so that the outcome is shown", async () => {
    const { story, human, back, answer } = await createAsked();
    await answer(true);
    await sql`update payments set lease = ${newId()}, leased_until = now() + interval '1 second'
      where approval_id = ${story.approvalId}`.execute(db);
    await look(story, human, back);
    expect(await readOutcome(db, story)).toEqual({ approval: "confirmed", payment: "succeeded" });
  });

  test("who must sign in first comes back without the secret that Stripe puts into the address", async () => {
    const { back, story, intentId } = await createAsked();
    const { status, headers } = await open(app, back);
    expect([status, headers.location]).toEqual([
      303,
      `/sign-in?return_to=${encodeURIComponent(`${story.path}?payment_intent=${intentId}`)}`,
    ]);
  });

  test("who is of another account finds nothing there, and no form without its token does anything", async () => {
    const { story, human, fixture, answer } = await createAsked();
    const stranger = await createAsked();
    await answer(true);
    const mate = await createHuman(app, fixture.account, "viewer");
    expect((await submit(app, `${story.path}/look`, { form_token: "x" }, human)).status).toBe(403);
    const page = await open(app, stranger.back, stranger.human);
    const form_token = hiddenValue(page, `${stranger.story.path}/look`);
    expect((await submit(app, `${story.path}/look`, { form_token }, stranger.human)).status).toBe(403);
    expect((await open(app, story.path, stranger.human)).status).toBe(404);
    expect((await readOutcome(db, story)).payment).toBe("action_required");
    expect((await open(app, story.path, mate)).text).toMatch(/The person who confirmed must\s+answer it/);
  });
});

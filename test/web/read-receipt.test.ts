import { describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { operate } from "../support/fixtures.ts";
import { createHuman, open } from "../support/humans.ts";
import { confirmByPasskey, declineNow, judge } from "../support/receipts.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, createStories, putCard, type Story } from "../support/stories.ts";

const service = await startService();
const { app, db } = service;
const deps = { ...service, processor: createSandbox(db, PUBLIC_URL) };
const decided = await createStories(app, "pm_card_chargeDeclined", 4);
const [paid, declined, signed, waiting] = decided.stories as [Story, Story, Story, Story];
const { account } = decided.fixture;
await confirmNow(deps, paid);
await putCard(app, account, "pm_card_visa");
await confirmNow(deps, paid);
await declineNow(deps, declined);
await confirmByPasskey(deps, signed);

describe("the page of a receipt", () => {
  test("says in full what was decided, by whom and by what, what was paid, and how to check it", async () => {
    const { status, text } = await open(app, `${paid.path}/receipt`, decided.human);
    expect(status).toBe(200);
    const words = text.replaceAll(/<[^>]*>/g, "").replaceAll(/\s+/g, " ");
    for (const said of [
      "Receipt: $450.00 USD funded",
      "Confirmed, and funded",
      "Maria G.",
      "Label 5,000 street scenes",
      "Test agent",
      decided.human.email,
      "from the Visa card ending in 4242",
      "by their password, typed on",
      "The card was declined.",
      "This is receipt 1 of Acme",
      `npx --no verify-receipt receipt-1-${paid.approvalId}.json --key jwks.json`,
      "That a password was typed, or a person was signed in, is the service’s word",
    ])
      expect(words).toContain(said);
    // Every time says its zone.
    expect(text.match(/<time[^>]*>[^<]*<\/time>/g)?.every((time) => time.endsWith("UTC</time>"))).toBe(true);
    expect(text).toContain(`href="${paid.path}/receipt.json" download`);
  });

  test("names the contract and the milestone as they were called at the request, whatever they are called now", async () => {
    const { contract } = decided.fixture;
    const path = `/accounts/${account}/contracts/${contract}`;
    const { title, ...terms } = (await operate(app, "GET", path)).contract;
    const { freelancer } = terms;
    await operate(app, "PUT", path, { title: "Another title", freelancer });
    for (const story of [paid, declined]) {
      const words = (await open(app, `${story.path}/receipt`, decided.human)).text.replaceAll(/<[^>]*>/g, "");
      expect(words).toMatch(new RegExp(`${title}.*as named at the request, not signed`, "s"));
      expect(words).not.toContain("Another title");
    }
    expect((await open(app, paid.path, decided.human)).text).toContain("Another title");
  });

  test("tells a passkey from a word of ours, and a decline from a payment", async () => {
    const byPasskey = (await open(app, `${signed.path}/receipt`, decided.human)).text;
    expect(byPasskey).toContain(`on ${PUBLIC_URL}`);
    expect(byPasskey).toContain("their passkey");
    expect(byPasskey).not.toContain("leaves nothing that others");
    const declining = (await open(app, `${declined.path}/receipt`, decided.human)).text;
    expect(declining).toContain("Declined: no money has moved");
    expect(declining).not.toContain("Payments</h2>");
  });

  test("is linked from the approval once that is decided, and not before", async () => {
    const link = (story: Story) => `href="${story.path}/receipt"`;
    for (const story of [paid, declined, signed])
      expect((await open(app, story.path, decided.human)).text).toContain(link(story));
    expect((await open(app, waiting.path, decided.human)).text).not.toContain(link(waiting));
    const { status, text } = await open(app, `${waiting.path}/receipt`, decided.human);
    expect([status, text.includes("This approval has no receipt")]).toEqual([409, true]);
    expect(text).toContain(`<a href="${waiting.path}">Back to the approval</a>`);
  });

  test("gives a file that the verifier believes, the same that an agent is answered", async () => {
    const { status, headers, text, body } = await open(app, `${paid.path}/receipt.json`, decided.human);
    expect([status, headers["content-type"]]).toEqual([200, "application/json; charset=utf-8"]);
    expect(headers["content-disposition"]).toBe(`attachment; filename="receipt-1-${paid.approvalId}.json"`);
    expect(await judge(text)).toBe("genuine");
    const { token } = decided.fixture;
    const answered = await app.inject({
      url: `${paid.path}/receipt`,
      headers: { authorization: `Bearer ${token}` },
    });
    expect(answered.json()).toEqual(body);
  });

  test("is for the account's members alone: a viewer reads it, a stranger gets what an unknown id gets", async () => {
    const viewer = await createHuman(app, account, "viewer");
    const stranger = (await createStories(app, "pm_card_visa", 0)).human;
    for (const path of [`${paid.path}/receipt`, `${paid.path}/receipt.json`]) {
      expect((await open(app, path, viewer)).status).toBe(200);
      const refused = await open(app, path, stranger);
      const unknown = await open(
        app,
        path.replace(paid.approvalId, "01a20756-15d0-7382-baf7-0c713413241c"),
        stranger,
      );
      expect([refused.status, refused.text]).toEqual([404, unknown.text]);
      expect((await open(app, path)).headers.location).toContain("/sign-in?return_to=");
    }
  });
});

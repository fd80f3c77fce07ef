import Stripe from "stripe";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { sweepRemovedCards } from "../../src/billing/card-jobs.ts";
import { listUndetached } from "../../src/billing/store.ts";
import type { MemberRole } from "../../src/database/schema.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { assetUrl } from "../../src/web/kit/assets.ts";
import { type Answer, call, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import { createHuman, hiddenValue, open, submit } from "../support/humans.ts";
import { openStripeRails } from "../support/rails.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService } from "../support/service.ts";

const rails = await openStripeRails();
const { stripe } = rails;
const { app, db } = await startService({}, undefined, rails);
// What Stripe's script does in the browser.
const browser = new Stripe(stripe.secretKey, stripe.at);

const cardsOf = async ({ account }: Fixture) =>
  (await operate(app, "GET", `/accounts/${account}/payment-methods`)).paymentMethods;

function attach({ account }: Fixture, paymentMethod: string): Promise<Answer> {
  const path = `/api/operator/v1/accounts/${account}/payment-methods`;
  return call(app, "POST", path, { token: OPERATOR_KEY, body: { paymentMethod } });
}

const customersOf = ({ account }: Fixture) =>
  [...stripe.books.customers.values()].filter(
    (customer) => "metadata" in customer && customer.metadata.accountId === accountKey(account),
  );

describe("a card that the operator puts on file", () => {
  test("is attached to the account's one customer, however many are put there at once", async () => {
    const fixture = await createFixture(app, { card: false });
    const answers = await Promise.all(Array.from({ length: 8 }, () => attach(fixture, "pm_card_visa")));
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(201));
    expect(customersOf(fixture)).toHaveLength(1);
    const cards = await cardsOf(fixture);
    expect(cards).toHaveLength(8);
    expect(cards.filter(({ isDefault }: { isDefault: boolean }) => isDefault)).toHaveLength(1);
    expect(cards[0]).toMatchObject({ brand: "visa", last4: "4242", isDefault: true });
    for (const { id } of cards)
      expect(stripe.books.methods.get(id)?.method.customer).toBe(customersOf(fixture)[0]?.id);
  });

  test("is one card, though it is put there twice", async () => {
    const fixture = await createFixture(app, { card: false });
    const { id } = (await attach(fixture, "pm_card_visa")).body.paymentMethod;
    await attach(fixture, "pm_card_mastercard");
    expect((await attach(fixture, id)).body.paymentMethod).toMatchObject({ id, isDefault: true });
    expect((await cardsOf(fixture)).map((card: { id: string }) => card.id)).toHaveLength(2);
  });

  test.for(["pm_nothing", "pm_card_chargeDeclined", "pm_card_threeDSecureOptional_of_nobody"])(
    "is refused when Stripe does not know or take it: %s",
    async (paymentMethod) => {
      const fixture = await createFixture(app, { card: false });
      const { status, body } = await attach(fixture, paymentMethod);
      expect([status, body.details?.reason]).toEqual([409, "unknown_payment_method"]);
      expect(await cardsOf(fixture)).toEqual([]);
    },
  );

  test("is refused when it is another account's", async () => {
    const [one, other] = [
      await createFixture(app, { card: false }),
      await createFixture(app, { card: false }),
    ];
    const { id } = (await attach(one, "pm_card_visa")).body.paymentMethod;
    expect((await attach(other, id)).status).toBe(409);
  });

  test("can be put there later, when Stripe is away: 503, and nothing is on file", async () => {
    const fixture = await createFixture(app, { card: false });
    stripe.plan({ on: "POST /v1/payment_methods/:id/attach", does: "unavailable" });
    const { status, headers } = await attach(fixture, "pm_card_visa");
    expect([status, headers["retry-after"]]).toEqual([503, "5"]);
    expect(await cardsOf(fixture)).toEqual([]);
    expect((await attach(fixture, "pm_card_visa")).status).toBe(201);
  });

  test("is removed though Stripe is away, and detached there by a sweep, once", async () => {
    const fixture = await createFixture(app, { card: false });
    const { id } = (await attach(fixture, "pm_card_visa")).body.paymentMethod;
    const path = `/api/operator/v1/accounts/${fixture.account}/payment-methods/${id}`;
    const detached = () => stripe.books.methods.get(id)?.method.customer === null;
    const sweep = () => sweepRemovedCards({ db, processor: rails.open(db) }, createLogger("silent"));
    stripe.plan({ on: "POST /v1/payment_methods/:id/detach", does: "unavailable" });
    expect((await call(app, "DELETE", path, { token: OPERATOR_KEY })).status).toBe(200);
    expect([await cardsOf(fixture), detached()]).toEqual([[], false]);
    await sweep();
    expect(detached()).toBe(true);
    const rows = await db.selectFrom("payment_methods").where("id", "=", id).select("detached_at").execute();
    expect(rows[0]?.detached_at).toBeInstanceOf(Date);
    expect(await listUndetached(db, 10)).toEqual([]);
  });

  test("creates a new customer if the account's was deleted at Stripe", async () => {
    const fixture = await createFixture(app, { card: false });
    await attach(fixture, "pm_card_visa");
    const [customer] = customersOf(fixture);
    await browser.customers.del(customer?.id ?? "");
    stripe.advance(25 * 60 * 60);
    expect((await attach(fixture, "pm_card_visa")).status).toBe(201);
    expect(customersOf(fixture)).toHaveLength(1);
    expect(customersOf(fixture)[0]?.id).not.toBe(customer?.id);
  });

  test("is detached at Stripe when it is removed", async () => {
    const fixture = await createFixture(app, { card: false });
    const { id } = (await attach(fixture, "pm_card_visa")).body.paymentMethod;
    await operate(app, "DELETE", `/accounts/${fixture.account}/payment-methods/${id}`);
    expect(stripe.books.methods.get(id)?.method.customer).toBeNull();
    expect(await cardsOf(fixture)).toEqual([]);
  });
});

describe("a card that a person adds on the billing page", () => {
  const BACK = { return_url: "http://localhost:3000/billing" };

  async function begin(role: MemberRole = "owner", approval?: string) {
    const fixture = await createFixture(app, { card: false });
    const { cookie, memberId } = await createHuman(app, fixture.account, role);
    const page = await open(app, `/billing${approval ? `?approval=${approval}` : ""}`, { cookie });
    return { fixture, cookie, memberId, page };
  }

  /** Stripe's own notice that a setup is done. */
  function tellOf(setup: Stripe.SetupIntent): Promise<Answer> {
    const payload = JSON.stringify({
      id: `evt_${setup.id}`,
      object: "event",
      type: "setup_intent.succeeded",
      data: { object: setup },
    });
    const signature = browser.webhooks.generateTestHeaderString({ payload, secret: stripe.webhookSecret });
    const headers = { "content-type": "application/json", "stripe-signature": signature };
    return call(app, "POST", "/stripe/webhook", { body: payload, headers });
  }

  async function beginSetup(role: "owner" | "approver" = "owner", approval?: string) {
    const { fixture, cookie, memberId, page } = await begin(role, approval);
    const fields = {
      accountId: accountKey(fixture.account),
      form_token: hiddenValue(page, "/billing/new-card"),
      ...(approval === undefined ? {} : { approval }),
    };
    const { status, headers } = await submit(app, "/billing/new-card", fields, { cookie });
    expect(status).toBe(303);
    const address = String(headers.location);
    const path = address.split("?", 1)[0] ?? "";
    return { fixture, cookie, memberId, address, path, id: path.split("/").at(-1) ?? "" };
  }

  const policyOf = ({ headers }: Answer) => String(headers["content-security-policy"]);

  test("is given to Stripe in its own form, for which that page alone is opened", async () => {
    const { cookie, address, id } = await beginSetup();
    const page = await open(app, address, { cookie });
    expect(page.status).toBe(200);
    expect(page.text).toContain(`data-publishable-key="${stripe.publishableKey}"`);
    const secret = stripe.books.setupIntents.get(id)?.intent.client_secret;
    expect(page.text).toContain(`data-client-secret="${secret}"`);
    expect(page.text).toContain(`data-return-url="${PUBLIC_URL}${address}"`);
    expect(page.text).toContain("This page needs JavaScript.");
    expect(page.text.match(/<script[^>]*>/g)).toEqual([
      '<script src="https://js.stripe.com/endive/stripe.js" defer>',
      `<script type="module" src="${assetUrl("card.js")}">`,
    ]);
    expect(policyOf(page)).toContain("script-src 'self' https://js.stripe.com https://*.js.stripe.com;");
    expect(policyOf(page)).not.toContain("unsafe");
    for (const other of ["/", "/billing", "/approvals", "/settings/security"]) {
      const shown = await open(app, other, { cookie });
      expect(shown.text, other).not.toContain("<script");
      expect(policyOf(shown), other).not.toMatch(/stripe|script-src/);
    }
  });

  test("is not on file by opening any page, and is once its form is sent, as the one that pays", async () => {
    const approval = "01a20756-15d0-7382-baf7-0c713413241c";
    const { fixture, cookie, address, path, id } = await beginSetup("owner", approval);
    await browser.setupIntents.confirm(id, { payment_method: "pm_card_visa", ...BACK });
    const page = await open(app, `${address}&setup_intent=${id}&redirect_status=succeeded`, { cookie });
    expect(page.text).toContain("Visa card ending in 4242");
    expect(page.text).toContain("data-send");
    expect(await cardsOf(fixture)).toEqual([]);
    const fields = { form_token: hiddenValue(page, path), approval };
    const { status, headers } = await submit(app, path, fields, { cookie });
    expect([status, headers.location]).toEqual([303, `/approvals/${approval}`]);
    expect(await cardsOf(fixture)).toMatchObject([{ brand: "visa", last4: "4242", isDefault: true }]);
    expect((await fund(app, fixture.token, fixture.milestone)).status).toBe(202);
  });

  test("stays off file when it was removed and the form is sent once more", async () => {
    const { fixture, cookie, address, path, id } = await beginSetup();
    await browser.setupIntents.confirm(id, { payment_method: "pm_card_visa", ...BACK });
    const fields = { form_token: hiddenValue(await open(app, address, { cookie }), path) };
    await submit(app, path, fields, { cookie });
    const [card] = await cardsOf(fixture);
    await operate(app, "DELETE", `/accounts/${fixture.account}/payment-methods/${card.id}`);
    expect((await submit(app, path, fields, { cookie })).status).toBe(303);
    expect(await cardsOf(fixture)).toEqual([]);
  });

  test("is put on file by Stripe's notice, should the person never come back", async () => {
    const { fixture, id } = await beginSetup();
    const setup = await browser.setupIntents.confirm(id, { payment_method: "pm_card_visa", ...BACK });
    expect((await tellOf(setup)).status).toBe(200);
    expect(await cardsOf(fixture)).toMatchObject([{ last4: "4242", isDefault: true }]);
  });

  test.each([
    ["was removed", { status: "removed" as const }],
    ["became a viewer", { role: "viewer" as const }],
  ])(
    "is not added for a person who %s meanwhile, by event or form, and is detached at Stripe",
    async (_what, change) => {
      const { fixture, cookie, address, path, id, memberId } = await beginSetup("approver");
      const setup = await browser.setupIntents.confirm(id, { payment_method: "pm_card_visa", ...BACK });
      const fields = { form_token: hiddenValue(await open(app, address, { cookie }), path) };
      await db.updateTable("members").set(change).where("id", "=", memberId).execute();
      expect((await submit(app, path, fields, { cookie })).status).toBeGreaterThanOrEqual(403);
      expect((await tellOf(setup)).status).toBe(200);
      expect(await cardsOf(fixture)).toEqual([]);
      expect(stripe.books.methods.get(String(setup.payment_method))?.method.customer).toBeNull();
      const events = await db
        .selectFrom("processor_events")
        .where("setup_id", "=", id)
        .where("due_at", "is not", null)
        .select("id")
        .execute();
      expect(events).toEqual([]);
      // The page that an owner opens by the same address is none of theirs.
      const owner = await createHuman(app, fixture.account);
      expect((await open(app, address, owner)).status).toBe(404);
    },
  );

  test("asks the bank where it must, and says so when the bank does not let it through", async () => {
    const { cookie, address, path, id } = await beginSetup();
    await browser.setupIntents.confirm(id, { payment_method: "pm_card_authenticationRequired", ...BACK });
    stripe.answerBank(id, false);
    const page = await open(app, `${address}?redirect_status=failed`, { cookie });
    expect(page.text).toContain("The bank could not confirm that it was you.");
    expect(page.text).not.toContain(`action="${path}"`);
  });

  test("is another account's business alone: its setup is 404, as one that does not exist", async () => {
    const { address, path, id } = await beginSetup();
    const { cookie } = await begin();
    await browser.setupIntents.confirm(id, { payment_method: "pm_card_visa", ...BACK });
    const answer = await open(app, address, { cookie });
    const unknown = await open(app, "/billing/cards/seti_unknown", { cookie });
    const scrub = ({ text }: Answer) => text.replaceAll(/[0-9a-f-]{36}|value="[^"]*"/g, "");
    expect([answer.status, unknown.status]).toEqual([404, 404]);
    expect(scrub(answer)).toBe(scrub(unknown));
    expect((await submit(app, path, { form_token: "x" }, { cookie })).status).toBe(403);
  });

  test("is not a viewer's to add", async () => {
    const { fixture, cookie, page } = await begin("viewer");
    expect(page.text).not.toContain("/billing/new-card");
    const fields = { accountId: accountKey(fixture.account), form_token: "x" };
    expect((await submit(app, "/billing/new-card", fields, { cookie })).status).toBe(403);
  });

  test("is never taken by its number here", async () => {
    const { cookie, page } = await begin();
    expect(page.text).not.toContain("Number of a test card");
    expect((await submit(app, "/billing/add-card", { number: "4242424242424242" }, { cookie })).status).toBe(
      404,
    );
  });
});

test("nothing was asked of Stripe that its documentation does not name", async () => {
  await stripe.deliveries.settled();
  expect(stripe.notPlayed).toEqual([]);
  expect(await db.selectFrom("processor").select("name").execute()).toEqual([{ name: "stripe_test" }]);
});

import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { receiveProcessorEvent } from "../../src/approvals/processor-event-service.ts";
import type { CheckoutRecord } from "../../src/billing/processor.ts";
import { sweepDueTopUps } from "../../src/billing/top-up-jobs.ts";
import { ownClock } from "../support/clock.ts";
import { asAdmin, cloneDatabase } from "../support/clones.ts";
import { call, operate } from "../support/fixtures.ts";
import { createHuman, open, refusalOf, submit } from "../support/humans.ts";
import { subjectsTo } from "../support/mails.ts";
import { openStripeRails, SANDBOX } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { signatureHeader } from "../support/stripe/deliveries.ts";
import type { FakeStripe } from "../support/stripe/fake.ts";
import { type AskedTopUp, createTopUp, payPage, press, readCredits, rowOf } from "../support/top-ups.ts";

const DAY = 24 * 60 * 60;

describe.for([SANDBOX, await openStripeRails()])("a top-up paid over $name", async (rails) => {
  const stripe = "stripe" in rails ? (rails.stripe as FakeStripe) : undefined;
  const url = await cloneDatabase();
  const clock = await ownClock(asAdmin(url));
  const { app, db, config } = await startService({}, url, rails);
  const deps = { db, config, processor: rails.open(db) };
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger("error", { write: (line) => void lines.push(JSON.parse(line)) });
  const sweep = () => sweepDueTopUps(deps, logger);

  const statusOf = async (topUp: AskedTopUp) => {
    const { status } = (await readCredits(app, topUp, `/top-ups/${topUp.id}`)).body.topUp;
    const { availableCents } = (await readCredits(app, topUp)).body.credits;
    return [status, availableCents];
  };
  const pages = async ({ accountId, id }: AskedTopUp): Promise<CheckoutRecord[]> => {
    const all = await Array.fromAsync(deps.processor.checkout.list({ since: new Date(0), accountId }));
    return all.filter(({ topUpId }) => topUpId === id);
  };
  /** @returns the page's id */
  const openPage = async (topUp: AskedTopUp): Promise<string> => {
    expect((await press(app, topUp, "checkout")).status).toBe(303);
    return (await rowOf(db, topUp)).sessionId ?? "";
  };
  const later = async (seconds: number, work: () => Promise<unknown>) => {
    await clock.set(seconds);
    try {
      await work();
    } finally {
      await clock.set(0);
    }
  };

  test("is booked once the person has paid and comes back, once however often it is looked at", async () => {
    const topUp = await createTopUp(app);
    const before = await open(app, topUp.path, { cookie: topUp.cookie });
    expect(before.text).toContain("$250.00 USD");
    expect(await pages(topUp)).toEqual([]);
    const sessionId = await openPage(topUp);
    const opened = await open(app, topUp.path, { cookie: topUp.cookie });
    expect(opened.text).toContain(`href="${(await rowOf(db, topUp)).sessionUrl}"`);
    await payPage(db, stripe, sessionId);
    expect(await statusOf(topUp)).toEqual(["PENDING", 0]);
    await press(app, topUp, "look");
    expect(await statusOf(topUp)).toEqual(["COMPLETED", 25_000]);
    await sweep();
    const { entries } = (await readCredits(app, topUp, "/ledger")).body;
    expect(entries).toMatchObject([{ type: "TOP_UP", amountCents: 25_000, topUpId: topUp.id }]);
    const after = await open(app, topUp.path, { cookie: topUp.cookie });
    expect(after.text).toContain("Paid.");
  });

  test("opens one page for concurrent requests and after a lost answer", async () => {
    const topUp = await createTopUp(app);
    stripe?.plan({ on: "POST /v1/checkout/sessions", does: "reset", when: "after", about: topUp.id });
    await press(app, topUp, "checkout", 4);
    const [page, ...others] = await pages(topUp);
    expect(others).toEqual([]);
    expect((await rowOf(db, topUp)).sessionId).toBe(page?.id);
  });

  test("is found by the sweep when the person never returns from the page", async () => {
    const topUp = await createTopUp(app);
    await payPage(db, stripe, await openPage(topUp));
    await later(60, sweep);
    expect(await statusOf(topUp)).toEqual(["COMPLETED", 25_000]);
  });

  test("is expired only after its open page was ended, and books what was paid in the last second", async () => {
    const late = await createTopUp(app);
    const unpaid = await createTopUp(app);
    const never = await createTopUp(app);
    const paidPage = await openPage(late);
    const openedPage = await openPage(unpaid);
    await payPage(db, stripe, paidPage);
    await later(DAY + 1, sweep);
    expect(await statusOf(late)).toEqual(["COMPLETED", 25_000]);
    expect(await statusOf(unpaid)).toEqual(["EXPIRED", 0]);
    expect(await statusOf(never)).toEqual(["EXPIRED", 0]);
    expect((await deps.processor.checkout.find(openedPage))?.state).toEqual({ status: "expired" });
  });

  test("opens no page once its link has expired", async () => {
    const topUp = await createTopUp(app);
    const page = await open(app, topUp.path, { cookie: topUp.cookie });
    expect(page.text).toContain("Continue to payment");
    await later(DAY + 1, async () => {
      expect((await open(app, topUp.path, { cookie: topUp.cookie })).text).not.toContain(
        "Continue to payment",
      );
    });
    expect(await pages(topUp)).toEqual([]);
  });

  test("opens another page after the first has ended unpaid, and never two that can be paid", async () => {
    const topUp = await createTopUp(app);
    const first = await openPage(topUp);
    await deps.processor.checkout.end(first);
    await press(app, topUp, "look");
    const second = await openPage(topUp);
    expect(second).not.toBe(first);
    const open = (await pages(topUp)).filter(({ state }) => state.status === "open");
    expect(open.map(({ id }) => id)).toEqual([second]);
  });

  test("ends its open page when the operator freezes the account, and books what was paid before", async () => {
    const topUp = await createTopUp(app);
    const paid = await createTopUp(app);
    const sessionId = await openPage(topUp);
    await payPage(db, stripe, await openPage(paid));
    for (const { account } of [topUp, paid])
      await operate(app, "PUT", `/accounts/${account}`, { frozen: true });
    await sweep();
    expect(await statusOf(topUp)).toEqual(["EXPIRED", 0]);
    expect((await deps.processor.checkout.find(sessionId))?.state).toEqual({ status: "expired" });
    expect(await statusOf(paid)).toEqual(["COMPLETED", 25_000]);
  });

  test("opens no page while payments are paused", async () => {
    const topUp = await createTopUp(app);
    const page = await open(app, topUp.path, { cookie: topUp.cookie });
    await operate(app, "PUT", "/pause", { paymentsPaused: true });
    const { cookie, path } = topUp;
    const form_token = /name="form_token" value="([^"]+)"/.exec(
      page.text.slice(page.text.indexOf("checkout")),
    )?.[1];
    const refused = await submit(app, `${path}/checkout`, { form_token: form_token ?? "" }, { cookie });
    await operate(app, "PUT", "/pause", { paymentsPaused: false });
    expect(refusalOf(refused)).toMatch(/paused/);
    expect(await pages(topUp)).toEqual([]);
  });

  test("is shown to members alone, and is paid for by owners and approvers alone", async () => {
    const topUp = await createTopUp(app);
    const stranger = await createTopUp(app);
    expect((await open(app, topUp.path, { cookie: stranger.cookie })).status).toBe(404);
    const viewer = await createHuman(app, topUp.account, "viewer");
    const page = await open(app, topUp.path, viewer);
    expect([page.status, page.text.includes("Continue to payment")]).toEqual([200, false]);
  });

  test("is mailed to owners and approvers when it was paid", async () => {
    const topUp = await createTopUp(app);
    await payPage(db, stripe, await openPage(topUp));
    await press(app, topUp, "look");
    const subjects = await subjectsTo(db, topUp.email);
    expect(subjects.filter((subject) => subject.includes("$250.00 USD was added"))).toHaveLength(1);
  });

  if (stripe === undefined) return;

  const eventsAbout = (text: string) =>
    [...stripe.books.events.values()]
      .map(({ event }) => event)
      .filter(({ data }) => JSON.stringify(data.object).includes(text));
  const deliver = async (text: string) => {
    for (const event of eventsAbout(text)) {
      const body = JSON.stringify(event);
      const headers = {
        "content-type": "application/json",
        "stripe-signature": signatureHeader(body, stripe.webhookSecret),
      };
      expect((await call(app, "POST", "/stripe/webhook", { body, headers })).status).toBe(200);
    }
  };

  test("is booked by Stripe's events, in any order and told twice", async () => {
    const topUp = await createTopUp(app);
    const sessionId = await openPage(topUp);
    await payPage(db, stripe, sessionId);
    await deliver(topUp.id);
    expect(await statusOf(topUp)).toEqual(["COMPLETED", 25_000]);
    await db.deleteFrom("processor_events").execute();
    await deliver(topUp.id);
    expect(await statusOf(topUp)).toEqual(["COMPLETED", 25_000]);
  });

  test("is booked by Stripe's events when the database has lost its page, or the top-up itself", async () => {
    const topUp = await createTopUp(app);
    const record = await deps.processor.checkout.open({
      accountId: topUp.accountId,
      topUpId: crypto.randomUUID(),
      key: crypto.randomUUID(),
      amountCents: 3_000,
      currency: "usd",
      returnUrl: config.publicUrl,
    });
    if (record.status !== "opened") throw new Error("it is opened");
    stripe.payCheckout(record.record.id);
    const notice = {
      id: crypto.randomUUID(),
      type: "checkout.session.completed",
      intentId: null,
      setupId: null,
    };
    await receiveProcessorEvent(
      { ...deps, logger },
      { ...notice, sent: null, sessionId: record.record.id, accountId: topUp.accountId },
    );
    expect((await readCredits(app, topUp)).body.credits.availableCents).toBe(3_000);
  });

  test("takes a chargeback from the available balance, below zero too, and gives back what is won", async () => {
    const topUp = await createTopUp(app);
    await payPage(db, stripe, await openPage(topUp));
    await press(app, topUp, "look");
    const { intentId } = await rowOf(db, topUp);
    const dispute = stripe.dispute(intentId ?? "");
    await deliver(dispute.id);
    const types = async () =>
      (await readCredits(app, topUp, "/ledger")).body.entries.map(
        ({ type, amountCents, topUpId }: Record<string, unknown>) => [type, amountCents, topUpId],
      );
    expect(await types()).toEqual([
      ["ADJUSTMENT", -25_000, topUp.id],
      ["TOP_UP", 25_000, topUp.id],
    ]);
    stripe.closeDispute(dispute.id, "won");
    await db.deleteFrom("processor_events").execute();
    await deliver(dispute.id);
    expect((await types())[0]).toEqual(["ADJUSTMENT", 25_000, topUp.id]);
    expect(await statusOf(topUp)).toEqual(["COMPLETED", 25_000]);
  });
});

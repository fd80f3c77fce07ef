import pg from "pg";
import { afterEach, expect, test, vi } from "vitest";
import { sendApprovalMails } from "../../src/approvals/mail-service.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { beginCoSign, sendForm, signForm } from "../support/co-sign.ts";
import { askEnd, askRelease, createEscrow } from "../support/escrow.ts";
import { type Answer, createFixture, fund, operate } from "../support/fixtures.ts";
import { createHuman, hiddenValue, open, submit } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const service = await startService();
const { app, db, config } = service;
const deps = { db, config, processor: createSandbox(db, config.publicUrl) };
afterEach(() => vi.restoreAllMocks());

/**
 * How often a request waits for the database: statements that are sent while another one of their connection is under way
 * share its round trip. What the sandbox reads and writes is not counted, as it stands in for the processor.
 */
async function countTrips(
  work: () => Promise<Answer>,
): Promise<{ answer: Answer; trips: number; sent: string[] }> {
  // What was asked for has been announced by now.
  await sendApprovalMails(service);
  const underWay = new Map<pg.Client, number>();
  const sent: string[] = [];
  let trips = 0;
  const query = pg.Client.prototype.query as (...args: unknown[]) => Promise<unknown>;
  vi.spyOn(pg.Client.prototype, "query").mockImplementation(async function (
    this: pg.Client,
    ...args: unknown[]
  ) {
    const [config] = args as [string | { text: string }];
    const text = typeof config === "string" ? config : config.text;
    const counts = !/sandbox["\\.]/.test(text);
    const others = underWay.get(this) ?? 0;
    underWay.set(this, others + 1);
    if (counts && others === 0) trips += 1;
    if (counts) sent.push(`${others === 0 ? "" : "  "}${text.replace(/\s+/g, " ").slice(0, 90)}`);
    try {
      return await query.apply(this, args);
    } finally {
      underWay.set(this, (underWay.get(this) ?? 1) - 1);
    }
  } as never);
  const answer = await work();
  vi.restoreAllMocks();
  return { answer, trips, sent };
}

/** Opens the approval's page and confirms there, by a sign-in that is fresh. */
async function confirm(path: string, cookie: string) {
  const form = `${path}/confirm`;
  const page = await open(app, path, { cookie });
  const fields = Object.fromEntries(
    ["nonce", "digest", "form_token"].map((name) => [name, hiddenValue(page, form, name)]),
  );
  return countTrips(() => submit(app, form, fields, { cookie }));
}

const scenes: Record<string, () => ReturnType<typeof countTrips>> = {
  "a funding by card": async () => {
    const fixture = await createFixture(app);
    const { cookie } = await createHuman(app, fixture.account);
    const { body } = await fund(app, fixture.token, fixture.milestone);
    return confirm(`/approvals/${body.approval.id}`, cookie);
  },
  "a funding by card, with a passkey": async () => {
    const story = await beginCoSign(service);
    const fields = await signForm(app, story);
    return countTrips(() => sendForm(app, story, fields));
  },
  "a funding by credits": async () => {
    const features = { public_api_payments_write: true, public_api_credits: true };
    const fixture = await createFixture(app, { features });
    await operate(app, "PUT", `/accounts/${fixture.account}`, { billing: "credits_first" });
    await operate(app, "POST", `/accounts/${fixture.account}/credits/adjustments`, {
      amountCents: 100_000,
      note: "A gift",
    });
    const { cookie } = await createHuman(app, fixture.account);
    const { body } = await fund(app, fixture.token, fixture.milestone);
    return confirm(`/approvals/${body.approval.id}`, cookie);
  },
  "a release": async () => {
    const escrow = await createEscrow(app, deps);
    const { path } = await askRelease(app, escrow);
    return confirm(path, escrow.human.cookie);
  },
  "a contract's end": async () => {
    const escrow = await createEscrow(app, deps);
    const { path } = await askEnd(app, escrow);
    return confirm(path, escrow.human.cookie);
  },
};

/** As few as there are. Before statements shared round trips there were 77, 81, 53, 76 and 82. */
const AT_MOST: Record<keyof typeof scenes, number> = {
  "a funding by card": 41,
  "a funding by card, with a passkey": 45,
  "a funding by credits": 29,
  "a release": 42,
  "a contract's end": 50,
};

test.each(Object.keys(scenes))("confirming %s makes no more round trips to the database", async (name) => {
  const { answer, trips, sent } = (await scenes[name]?.()) ?? expect.fail();
  expect(answer.status, answer.text).toBe(303);
  expect(trips, sent.join("\n")).toBeLessThanOrEqual(AT_MOST[name] ?? 0);
});

import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { pendingMail } from "../../src/approvals/mails.ts";
import { movedMail } from "../../src/approvals/outcome-mails.ts";
import { sendOutcomeMails } from "../../src/approvals/outcome-service.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import type { FundingTerms } from "../../src/lib/statement.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman, type HumanFixture } from "../support/humans.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { ask, confirmNow, putCard, type Story } from "../support/stories.ts";

const { app, db, config } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };
const sweep = () => sendOutcomeMails({ db, config });

type Scene = { story: Story; owner: HumanFixture; approver: HumanFixture; viewer: HumanFixture };

async function begin(paymentMethod = "pm_card_visa"): Promise<Scene> {
  const fixture = await createFixture(app, { card: false });
  await putCard(app, fixture.account, paymentMethod);
  const approver = await createHuman(app, fixture.account, "approver");
  const viewer = await createHuman(app, fixture.account, "viewer");
  const owner = await createHuman(app, fixture.account);
  return { story: await ask(app, fixture, fixture.milestone), owner, approver, viewer };
}

const mailsTo = ({ email }: HumanFixture) =>
  db
    .selectFrom("mails")
    .where("recipient", "=", email)
    .select(["subject", "body", "urgent"])
    .orderBy("created_at")
    .execute();

describe("what became of money", () => {
  test("is mailed once to owners and approvers, before other mail, with amount, payee and who confirmed", async () => {
    const { story, owner, approver, viewer } = await begin();
    await confirmNow(deps, story);
    await Promise.all([sweep(), sweep()]);
    await sweep();
    for (const who of [owner, approver]) {
      const mails = await mailsTo(who);
      expect(mails).toMatchObject([{ subject: "Funded: $450.00 USD for “Maria G.”", urgent: true }]);
      const [first] = mails[0]?.body?.split("\n\n") ?? [];
      expect(first).toContain(
        "In the account “Acme”, $450.00 USD was charged to the Visa card ending in 4242",
      );
      expect(first).toContain("held in escrow for “Maria G.”");
      expect(first).toContain("Confirmed by “Ada Owner”.");
      expect(mails[0]?.body).toContain(`${PUBLIC_URL}${story.path}/receipt`);
    }
    expect(await mailsTo(viewer)).toEqual([]);
  });

  test("is mailed when a card was refused, with the reason and what to do", async () => {
    const { story, owner } = await begin("pm_card_chargeDeclinedInsufficientFunds");
    await confirmNow(deps, story);
    await sweep();
    const [mail] = await mailsTo(owner);
    expect(mail?.subject).toBe("Not funded: $450.00 USD for “Maria G.”");
    expect(mail?.body).toContain("no money moved. The card has insufficient funds.");
    expect(mail?.body).toContain("The request is pending again");
  });

  test("is mailed when it came back", async () => {
    const { story, owner } = await begin();
    await confirmNow(deps, story);
    await sweep();
    await sql`
      insert into reversals (account_id, id, payment_id, kind, status, amount_cents, currency, taken_cents, final,
        observed_at, created_at, updated_at)
      select account_id, 'dp_' || id, id, 'dispute', 'needs_response', amount_cents, currency, 0, false, now(), now(), now()
      from payments where account_id = ${story.accountId}`.execute(db);
    await sweep();
    const mails = await mailsTo(owner);
    expect(mails.map(({ subject }) => subject)).toEqual([
      "Funded: $450.00 USD for “Maria G.”",
      "Disputed: $450.00 USD for “Maria G.”",
    ]);
  });
});

const TERMS: FundingTerms = {
  amountCents: 45_000,
  currency: "usd",
  milestoneId: "m1",
  description: "Label 100 scenes",
  contractId: "c1",
  jobId: "j1",
  payee: { userId: "u1", displayName: "Maria G.", payoutAccount: null },
};

test("a release and a contract's end are said as such", () => {
  const paid = { approvalId: "a", accountName: "Acme", signers: ["Hanna", "Bob"], source: null };
  const release = movedMail(config, "to@example.com", { ...paid, type: "milestone_approve", terms: TERMS });
  expect(String(release.subject)).toBe("Paid out: $450.00 USD to “Maria G.”");
  expect(String(release.paragraphs[0])).toContain("Confirmed by “Hanna” and “Bob”.");
  const refunds = [{ milestoneId: "m1", amountCents: 45_000, currency: "usd", to: "card" as const }];
  const terms = { contractId: "c1", jobId: "j1", refunds };
  const end = movedMail(config, "to@example.com", { ...paid, type: "contract_end", terms });
  expect(String(end.subject)).toBe("Contract ended: $450.00 USD refunded");
});

describe("the mail about pending requests", () => {
  const request = (n: number) => ({
    id: `a${n}`,
    type: "milestone_fund",
    terms: { ...TERMS, amountCents: n * 100 },
    tokenName: "Agent",
    asker: null,
    expiresAt: new Date(Date.UTC(2026, 11, 3, 5, n)),
  });
  const to = { email: "to@example.com", accountName: "Acme", expiresSoon: false };

  test("names one request in its subject, and the deadline once it is near", () => {
    const { subject, paragraphs } = pendingMail(config, to, [request(1)]);
    expect(String(subject)).toBe("To confirm: fund $1.00 USD for “Maria G.”");
    expect(String(paragraphs[0])).toContain("In the account “Acme”, a request is waiting");
    const near = pendingMail(config, { ...to, expiresSoon: true }, [request(1)]);
    expect(String(near.subject)).toBe("Expires Thu 3 Dec, 05:01 UTC: fund $1.00 USD for “Maria G.”");
  });

  test("lists at most 20, those that expire first, then says how many more and leads to the inbox", () => {
    const requests = Array.from({ length: 25 }, (_, i) => request(25 - i));
    const { subject, paragraphs } = pendingMail(config, to, requests);
    const lines = paragraphs.map(String);
    expect(String(subject)).toBe("25 requests to confirm in “Acme”");
    const listed = lines.filter((text) => text.startsWith("fund "));
    expect(listed).toHaveLength(20);
    expect(listed[0]).toContain("fund $1.00 USD");
    expect(lines).toContain("And 5 more.");
    expect(lines.at(-1)).toBe(`${PUBLIC_URL}/approvals`);
  });
});

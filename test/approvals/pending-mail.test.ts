import { describe, expect, test } from "vitest";
import { pendingMail } from "../../src/approvals/mails.ts";
import type { FundingTerms } from "../../src/lib/statement.ts";
import { PUBLIC_URL } from "../support/service.ts";

const config = { appName: "Countersign", publicUrl: PUBLIC_URL };

const TERMS: FundingTerms = {
  amountCents: 45_000,
  currency: "usd",
  milestoneId: "m1",
  description: "Label 100 scenes",
  contractId: "c1",
  jobId: "j1",
  payee: { userId: "u1", displayName: "Maria G.", payoutAccount: null },
};

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

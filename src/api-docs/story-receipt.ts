import { hash } from "node:crypto";
import { canonicalText } from "../lib/canonical.ts";
import { statementDigest } from "../lib/statement.ts";
import type { LinkedContent, Receipt } from "../receipts/schemas.ts";
import { signReceipt } from "../receipts/signature.ts";
import { openReceiptKeys } from "../receipts/signing-keys.ts";
import * as story from "./story.ts";

/** Signs the example alone, so that readers can verify it. */
export const EXAMPLE_KEYS = openReceiptKeys([Buffer.alloc(32, "the key of the examples ")], []);

const { confirmed, me, token } = story;
const currency = "usd";
const amountCents = 45_000;
const paymentId = "01a207e4-3000-7a11-8d02-7be1f0a94c35";
const transactionId = "01a207e4-317e-7c00-b1f6-3a5e8d90c2d4";

const terms = {
  amountCents,
  currency,
  milestoneId: story.MILESTONE_ID,
  description: "Label 5,000 street scenes",
  contractId: confirmed.contractId,
  jobId: confirmed.jobId,
  payee: { userId: "freelancer-3", displayName: "Maria G.", payoutAccount: null },
};
const statement = {
  v: 1 as const,
  action: "milestone_fund" as const,
  accountId: me.account.organizationId,
  approvalId: confirmed.id,
  decision: "confirm" as const,
  terms,
  source: { kind: "card" as const, brand: "visa", last4: "4242" },
  nonce: "kq0Zx1N8v6fJ3mTt5yRbWg",
};

const { id, type, contractId, milestoneId, jobId, createdAt, expiresAt, resolvedAt, result } = confirmed;
/** Of the receipt below, what its chain links. */
export const linkedContent: LinkedContent = {
  v: 1,
  accountId: statement.accountId,
  accountName: "Acme Research",
  approval: {
    id,
    type,
    status: "confirmed",
    coSign: "session",
    secondSignerFromCents: null,
    contractId,
    milestoneId,
    jobId,
    createdAt,
    expiresAt,
    resolvedAt: resolvedAt ?? "",
    result,
  },
  terms,
  askedBy: { tokenId: token.id, name: token.name, preview: token.preview },
  statements: [
    {
      digest: statementDigest(statement).toString("hex"),
      statement,
      signedBy: { userId: me.actor.userId ?? "", name: me.actor.fullName ?? "", email: me.actor.email },
      signedAt: "2026-11-23T10:12:03.407Z",
      proof: { kind: "password", provedAt: "2026-11-23T10:12:03.391Z" },
      signersRequired: 1,
    },
  ],
  payments: [
    {
      id: paymentId,
      kind: "charge",
      milestoneId: story.MILESTONE_ID,
      status: "succeeded",
      amountCents,
      currency,
      processor: "stripe",
      intentId: String(result?.paymentIntentId),
      sentId: null,
      refusal: null,
      createdAt: "2026-11-23T10:12:03.407Z",
      resolvedAt: resolvedAt ?? "",
      statements: [statementDigest(statement).toString("hex")],
    },
  ],
  credits: [],
  ledger: [
    { transactionId, line: 1, account: "processor", amountCents, currency },
    {
      transactionId,
      line: 2,
      account: `milestone:${story.MILESTONE_ID}`,
      amountCents: -amountCents,
      currency,
    },
  ],
  chain: { index: 1, previousDigest: "0".repeat(64) },
};

/** The receipt of what Ada confirmed. */
export const receipt: Receipt = signReceipt(
  {
    ...linkedContent,
    chain: { ...linkedContent.chain, digest: hash("sha256", canonicalText(linkedContent), "hex") },
  },
  EXAMPLE_KEYS.signing,
);

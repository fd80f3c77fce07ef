import { createHash } from "node:crypto";
import { canonicalText } from "../lib/canonical.ts";
import { type Statement, statementDigest } from "../lib/statement.ts";
import { publicJwk, signReceipt } from "../receipts/signature.ts";
import { signatureHeaders } from "../webhooks/signature.ts";
import { confirmation } from "./story.ts";
import { EXAMPLE_KEYS, linkedContent, receipt } from "./story-receipt.ts";

/** Secrets of the vectors alone: the bytes 0 to 31, and 32 to 63. */
const SECRETS = [0, 32].map(
  (first) => `whsec_${Buffer.from(Array.from({ length: 32 }, (_, i) => first + i)).toString("base64")}`,
);
const TIMESTAMP = new Date("2026-11-23T10:12:05.118Z");

/** The files of `docs/vectors`, by name: what others check their code with. Made by the code that serves them. */
export function writeVectors(): Map<string, string> {
  const files = { webhooks: webhooks(), statements: statements(), receipts: receipts() };
  return new Map(
    Object.entries(files).map(([name, content]) => [
      `docs/vectors/${name}.json`,
      `${JSON.stringify(content, null, 2)}\n`,
    ]),
  );
}

function webhooks() {
  const [first = "", second = ""] = SECRETS;
  const id = "01a207e4-317f-7a66-9c30-e51d8b02f4a7";
  const deliver = (name: string, secrets: string[], body: string, eventType = "approval.confirmed") => ({
    name,
    secrets,
    body,
    headers: signatureHeaders(secrets, { id, eventType, timestamp: TIMESTAMP, body }),
  });
  const body = JSON.stringify(confirmation);
  const message = { ...confirmation, type: "message.received", data: { text: "Zoë 🖋 — “quoted”, 1e3" } };
  return {
    valid: [
      deliver("one secret", [first], body),
      deliver("two secrets, for a day after a rotation: either alone is enough", [second, first], body),
      deliver(
        "letters beyond ASCII: the raw bytes are signed",
        [first],
        JSON.stringify(message),
        message.type,
      ),
    ],
    invalid: [
      { ...deliver("another body", [first], body), body: body.replace("confirmed", "declined") },
      { ...deliver("another secret", [first], body), secrets: [second] },
    ],
  };
}

function describeStatement(name: string, statement: Statement) {
  return {
    name,
    statement,
    canonical: canonicalText(statement),
    digest: statementDigest(statement).toString("hex"),
    /** As a passkey's `clientDataJSON.challenge` has it. */
    challenge: statementDigest(statement).toString("base64url"),
  };
}

function statements() {
  const [signed] = receipt.statements;
  if (signed?.statement.action !== "milestone_fund") throw new TypeError("the story is of a funding");
  const { statement } = signed;
  const { payee, contractId, jobId } = statement.terms;
  const release: Statement = {
    ...statement,
    action: "milestone_approve",
    source: null,
    terms: {
      ...statement.terms,
      payout: { account: "acct_1Maria" },
      payee: { ...payee, payoutAccount: "acct_1Maria" },
    },
  };
  const refund = {
    milestoneId: statement.terms.milestoneId,
    amountCents: 45_000,
    currency: "usd",
    to: "card" as const,
  };
  const end: Statement = {
    ...statement,
    action: "contract_end",
    source: null,
    terms: { contractId, jobId, refunds: [refund] },
  };
  return {
    statements: [
      describeStatement("a funding that is confirmed", statement),
      describeStatement("the same, declined: another digest", { ...statement, decision: "decline" }),
      describeStatement("a release", release),
      describeStatement("a contract's end", end),
      describeStatement("letters beyond ASCII, and a line break", {
        ...statement,
        terms: { ...statement.terms, description: "Straßenszenen\n→ 5.000 Bilder €\u2028" },
      }),
    ],
  };
}

function receipts() {
  const digestOf = (text: string) => createHash("sha256").update(text).digest("hex");
  const text = canonicalText({ ...linkedContent, chain: { index: 2, previousDigest: receipt.chain.digest } });
  const second = signReceipt(
    { ...linkedContent, chain: { index: 2, previousDigest: receipt.chain.digest, digest: digestOf(text) } },
    EXAMPLE_KEYS.signing,
  );
  return {
    keys: [publicJwk(EXAMPLE_KEYS.signing)],
    valid: [
      { name: "the first of a chain", receipt },
      { name: "the next of it", receipt: second },
    ],
    invalid: [
      { name: "another amount", receipt: { ...receipt, terms: { ...receipt.terms, amountCents: 45_001 } } },
      { name: "another name", receipt: { ...receipt, accountName: "Acme" } },
      {
        name: "the signature of the next",
        receipt: { ...receipt, signature: second.signature },
      },
    ],
  };
}

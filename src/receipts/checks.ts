import { hash } from "node:crypto";
import { canonicalDigest, canonicalText } from "../lib/canonical.ts";
import { formatAmount } from "../lib/money.ts";
import { verifyAssertion } from "../passkeys/assertion.ts";
import type { LinkedContent, Proof, Signed } from "./schemas.ts";
import { signerFaults } from "./signers.ts";

/** What the first link of a chain refers to. */
export const NO_LINK = "0".repeat(64);

/**
 * Everything that is inconsistent in a receipt, as text for people; empty when nothing is. Does no I/O. Cannot tell
 * whose the passkeys are, or what the database holds.
 */
export async function findFaults(content: LinkedContent): Promise<string[]> {
  const signed = await Promise.all(content.statements.map((one, i) => faultsOf(content, one, i + 1)));
  return [
    ...signed.flat(),
    ...subjectFaults(content),
    ...decisionFaults(content),
    ...signerFaults(content),
    ...paymentFaults(content),
    ...ledgerFaults(content),
  ];
}

/** SHA-256 over the RFC 8785 form, in hex: what the next link refers to. */
export function linkDigest(content: LinkedContent): string {
  return hash("sha256", canonicalText(content), "hex");
}

async function faultsOf(
  { accountId, approval, terms }: LinkedContent,
  { digest, statement, signedAt, proof }: Signed,
  number: number,
): Promise<string[]> {
  const computed = canonicalDigest(statement);
  const right: [boolean, string][] = [
    [computed.toString("hex") === digest, "is not what its digest is over"],
    [statement.action === approval.type, "is for another act than the approval"],
    [statement.accountId === accountId, "is of another account"],
    [statement.approvalId === approval.id, "is of another approval"],
    [canonicalText(statement.terms) === canonicalText(terms), "is over other terms"],
    [
      signedAt >= approval.createdAt && signedAt <= approval.resolvedAt,
      "was signed before it was asked for, or after its end",
    ],
    [await proves(proof, computed), "was not signed with the passkey that is named"],
    [
      approval.coSign !== "passkey" || statement.decision === "decline" || proof.kind === "passkey",
      "was confirmed without a passkey, and the account demands one",
    ],
  ];
  return right.filter(([holds]) => !holds).map(([, fault]) => `statement ${number} ${fault}`);
}

/** Whether a passkey's assertion is valid. A password's proof holds nothing to check. */
async function proves(proof: Proof, challenge: Buffer): Promise<boolean> {
  if (proof.kind !== "passkey") return true;
  const { credentialId: id, publicKey, rpId, origin, authenticatorData, clientDataJSON, signature } = proof;
  const passkey = {
    credential_id: Buffer.from(id, "base64url"),
    public_key: Buffer.from(publicKey, "base64url"),
  };
  const response = { authenticatorData, clientDataJSON, signature };
  const assertion = { id, rawId: id, type: "public-key" as const, response };
  const checked = await verifyAssertion({ id: rpId, name: "", origin }, passkey, assertion, challenge);
  return "verified" in checked;
}

/** The approval must be about the signed terms. */
function subjectFaults({ approval, terms }: LinkedContent): string[] {
  const same =
    approval.contractId === terms.contractId &&
    approval.jobId === terms.jobId &&
    approval.milestoneId === terms.milestoneId;
  return same ? [] : ["the approval is about something else than its terms"];
}

/** A refused card leads to another confirmation, so there may be several. The last statement is the decision. */
function decisionFaults({ approval, statements }: LinkedContent): string[] {
  const decided = approval.status === "confirmed" ? "confirm" : "decline";
  const last = statements.at(-1)?.statement.decision;
  const before = statements.slice(0, -1).every(({ statement }) => statement.decision === "confirm");
  return last === decided && before ? [] : [`it says ${approval.status}, and what was signed does not`];
}

/** Every payment must be over the terms. Only the last payment of a confirmed approval succeeded. */
function paymentFaults({ approval, terms, statements, payments }: LinkedContent): string[] {
  const paid = approval.status === "confirmed" && statements.at(-1)?.statement.source?.kind === "card";
  const faults: string[] = [];
  payments.forEach((payment, i) => {
    const expected = paid && i === payments.length - 1 ? "succeeded" : "refused";
    if (payment.status !== expected)
      faults.push(`payment ${payment.id} ${payment.status}, which does not fit what was decided`);
    if (payment.amountCents !== terms.amountCents || payment.currency !== terms.currency)
      faults.push(`payment ${payment.id} is not over ${formatAmount(terms.amountCents, terms.currency)}`);
  });
  const named = approval.result?.paymentIntentId ?? null;
  const moved = payments.find(({ status }) => status === "succeeded")?.intentId ?? null;
  if (named !== moved) faults.push("the payment that it names is not the one that was made");
  return faults;
}

function ledgerFaults({ payments, ledger }: LinkedContent): string[] {
  const sums = new Map<string, number>();
  for (const { transactionId, amountCents } of ledger)
    sums.set(transactionId, (sums.get(transactionId) ?? 0) + amountCents);
  const faults = [...sums]
    .filter(([, sum]) => sum !== 0)
    .map(([id]) => `the movement ${id} does not sum to zero`);
  const booked = ledger
    .filter(({ account }) => account === "processor")
    .reduce((sum, { amountCents }) => sum + amountCents, 0);
  const paid = payments
    .filter(({ status }) => status === "succeeded")
    .reduce((sum, { amountCents }) => sum + amountCents, 0);
  if (booked !== paid) faults.push("what was booked is not what was paid");
  return faults;
}

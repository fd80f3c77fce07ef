import { hash } from "node:crypto";
import { canonicalDigest, canonicalText } from "../lib/canonical.ts";
import { formatAmount } from "../lib/money.ts";
import { verifyAssertion } from "../passkeys/assertion.ts";
import type { LinkedContent, Proof, Signed } from "./schemas.ts";
import { signerFaults } from "./signer-rules.ts";

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
    ...creditFaults(content),
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
    approval.milestoneId === ("refunds" in terms ? null : terms.milestoneId) &&
    approval.type === actOf(terms);
  return same ? [] : ["the approval is about something else than its terms"];
}

/** The act that terms of this form belong to. */
function actOf(terms: LinkedContent["terms"]): string {
  if ("refunds" in terms) return "contract_end";
  return "payout" in terms ? "milestone_approve" : "milestone_fund";
}

/** A refused card leads to another confirmation, so there may be several. The last statement is the decision. */
function decisionFaults({ approval, statements }: LinkedContent): string[] {
  const decided = approval.status === "confirmed" ? "confirm" : "decline";
  const last = statements.at(-1)?.statement.decision;
  const before = statements.slice(0, -1).every(({ statement }) => statement.decision === "confirm");
  return last === decided && before ? [] : [`it says ${approval.status}, and what was signed does not`];
}

const KINDS = { milestone_fund: "charge", milestone_approve: "payout", contract_end: "refund" } as const;

/** Each attempt must be of the signed act and over a signed sum, and the result must name its success. */
function paymentFaults(content: LinkedContent): string[] {
  const { approval, terms, payments } = content;
  const faults = payments.flatMap(({ id, kind, milestoneId, amountCents, currency }) => {
    const signed = signedFor(terms, milestoneId);
    const right: [boolean, string][] = [
      [kind === KINDS[approval.type], `is a ${kind}, which was not signed`],
      [
        signed !== undefined && signed.amountCents === amountCents && signed.currency === currency,
        signed === undefined
          ? "is of another milestone"
          : `is not over ${formatAmount(signed.amountCents, signed.currency)}`,
      ],
    ];
    return right.filter(([holds]) => !holds).map(([, fault]) => `payment ${id} ${fault}`);
  });
  return [...faults, ...("refunds" in terms ? refundFaults(content, terms.refunds) : oneFaults(content))];
}

function signedFor(terms: LinkedContent["terms"], milestoneId: string) {
  if ("refunds" in terms) return terms.refunds.find((refund) => refund.milestoneId === milestoneId);
  return terms.milestoneId === milestoneId ? terms : undefined;
}

/** Of a confirmed funding or release, only the last attempt succeeded, and the result names it. */
function oneFaults({ approval, statements, payments }: LinkedContent): string[] {
  const moved =
    approval.status === "confirmed" &&
    (approval.type === "milestone_approve" || statements.at(-1)?.statement.source?.kind === "card");
  const faults = payments.flatMap(({ id, status }, i) => {
    const expected = moved && i === payments.length - 1 ? "succeeded" : "refused";
    return status === expected ? [] : [`payment ${id} ${status}, which does not fit what was decided`];
  });
  const { paymentIntentId = null, payoutTransactionId = null } = approval.result ?? {};
  const success = payments.find(({ status }) => status === "succeeded");
  if (paymentIntentId !== (success?.intentId ?? null) || payoutTransactionId !== (success?.sentId ?? null))
    faults.push("the payment that it names is not the one that was made");
  return faults;
}

/** A confirmed end of a contract has each refund once: an attempt to its card, or an entry of the credits. */
function refundFaults(
  { approval, payments }: LinkedContent,
  signed: readonly { milestoneId: string; amountCents: number }[],
): string[] {
  const named = approval.status === "confirmed" ? approval.result?.refunds : [];
  if (!Array.isArray(named)) return ["it does not name its refunds"];
  const gone = (approval.status === "confirmed" ? signed : []).filter(({ milestoneId, amountCents }) => {
    const [refund, second] = named.filter((one) => one?.milestoneId === milestoneId);
    const successes = payments.filter((one) => one.milestoneId === milestoneId && one.status === "succeeded");
    const byCard = successes.length === 1 && successes[0]?.sentId === refund?.refundId;
    const right = refund?.to === "card" ? byCard : refund?.to === "credits" && successes.length === 0;
    return !right || second !== undefined || refund.amountCents !== amountCents;
  });
  const faults = gone.map(({ milestoneId }) => `the refund of ${milestoneId} is not the one that was made`);
  if (approval.status === "confirmed" && named.length !== signed.length)
    faults.push("it names other refunds than were signed");
  return faults;
}

/** Credits must move as signed: held for a funding from credits, given back by a contract's end, otherwise unchanged. */
function creditFaults({ approval, terms, statements, payments, credits }: LinkedContent): string[] {
  const confirmed = approval.status === "confirmed";
  const expected = new Map<string, [types: readonly string[], amountCents: number]>();
  if (confirmed && "refunds" in terms) {
    const named = (approval.result?.refunds ?? []) as { milestoneId: string; to: string; refundId: string }[];
    for (const { milestoneId, amountCents, to } of terms.refunds) {
      const gone = named.find((one) => one.milestoneId === milestoneId);
      if (gone?.to === "credits")
        // Money of a card goes there, too, if its bank has taken back the rest of the payment.
        expected.set(gone.refundId, [
          to === "credits" ? ["HOLD_RELEASE", "REFUND"] : ["REFUND"],
          amountCents,
        ]);
    }
  }
  const paidBy = statements.at(-1)?.statement.source?.kind;
  if (confirmed && approval.type === "milestone_fund" && paidBy === "credits" && "amountCents" in terms)
    expected.set(credits[0]?.id ?? "", [["HOLD"], -terms.amountCents]);
  const moved = payments.some(({ status }) => status === "succeeded");
  const found = credits.filter(({ type }) => !(type === "CAPTURE" && moved));
  const right = found.every(({ id, type, amountCents }) => {
    const [types, cents] = expected.get(id) ?? [];
    return types?.includes(type) === true && amountCents === cents;
  });
  return right && found.length === expected.size ? [] : ["the credits did not move as was signed"];
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
    .reduce((sum, { kind, amountCents }) => sum + (kind === "charge" ? amountCents : -amountCents), 0);
  if (booked !== paid) faults.push("what was booked is not what was paid");
  return faults;
}

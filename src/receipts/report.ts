import { hash } from "node:crypto";
import { formatAmount } from "../lib/money.ts";
import { sumOf } from "../lib/statement.ts";
import { formatTime } from "../lib/time.ts";
import type { Receipt, Signed } from "./schemas.ts";
import type { RetainedHead, Stretch } from "./verifier.ts";

/** A verified receipt, as lines for people. */
export function describeReceipt({
  approval,
  terms,
  askedBy,
  statements,
  payments,
  chain,
}: Receipt): string[] {
  const outcome = approval.status === "confirmed" ? "Confirmed" : "Declined";
  return [
    `  ${outcome} on ${at(approval.resolvedAt)}: ${describeAct(terms)}`,
    `  for ${approval.milestoneId === null ? "" : `milestone ${approval.milestoneId} of `}contract ${approval.contractId}, approval ${approval.id}`,
    `  asked for by ${askedBy.name} (key ${askedBy.preview}) on ${at(approval.createdAt)}`,
    ...statements.map((one) => `  ${describeSignature(one)}`),
    ...payments.map(
      (one) =>
        `  ${one.kind} ${one.intentId ?? one.sentId ?? one.id} ${one.status}: ${formatAmount(one.amountCents, one.currency)}, says ${one.processor}`,
    ),
    `  link ${chain.index}:${chain.digest}`,
  ];
}

/** What was decided: a funding, a release to an account, or a contract's end with its refunds. */
function describeAct(terms: Receipt["terms"]): string {
  const { amountCents, currency } = sumOf(terms);
  const sum = formatAmount(amountCents, currency);
  if ("refunds" in terms)
    return `end contract ${terms.contractId}, refund ${sum} for ${terms.refunds.length} milestones`;
  const to = `${terms.payee.displayName} (${terms.payee.userId})`;
  return "payout" in terms
    ? `release ${sum} to ${to}, account ${terms.payout.account}`
    : `fund ${sum} for ${to}`;
}

function describeSignature({ statement, signedBy, signedAt, proof, signersRequired }: Signed): string {
  const who = `${signedBy.name}${signedBy.email === null ? "" : ` <${signedBy.email}>`}`;
  const oneOfTwo = signersRequired === 2 ? " (two people required)" : "";
  const what = `${statement.decision}${oneOfTwo}: signed by ${who} on ${at(signedAt)}`;
  return proof.kind === "passkey"
    ? `${what} with a passkey, on ${proof.origin}; checked here: passkey ${passkeyName(proof.publicKey)}`
    : `${what} by ${proof.kind === "password" ? "password" : "being signed in"}; the service's word`;
}

/** A name for a passkey's public key, short enough to compare. */
export function passkeyName(publicKey: string): string {
  return hash("sha256", Buffer.from(publicKey, "base64url"), "base64url").slice(0, 16);
}

/** What the receipts together prove, and what they do not. */
export function describeProof(
  receipts: readonly Receipt[],
  {
    kids,
    stretches,
    head,
  }: { kids: ReadonlySet<string>; stretches: readonly Stretch[]; head: RetainedHead | undefined },
): string[] {
  const proofs = receipts.flatMap(({ statements }) => statements.map(({ proof }) => proof.kind));
  const byPasskey = proofs.includes("passkey");
  const byWord = proofs.some((kind) => kind !== "passkey");
  return [
    "What this proves",
    `- The holder of the service's key (${[...kids].join(", ")}) signed exactly this, and nothing in it was changed since.`,
    ...(byPasskey
      ? [
          "- The holder of each passkey named here signed exactly the statement shown, and their device had verified them.",
        ]
      : []),
    ...stretches.map(({ accountId, from, to }) =>
      from === to
        ? `- Account ${accountId}: receipt ${from} stands alone; its neighbours were not given.`
        : `- Account ${accountId}: receipts ${from} to ${to} follow from each other; none of them is missing, none was put in.`,
    ),
    ...(head === undefined ? [] : [`- They lead to the head that you kept, ${head.index}:${head.digest}.`]),
    "What it does not prove",
    "- That the key belongs to the service you mean: that is only as certain as where you got the key.",
    ...(byPasskey
      ? [
          "- Who holds a passkey: the name here is the service's word, unless you know the person's passkey yourself.",
        ]
      : []),
    ...(byWord
      ? ["- That a person typed a password or was signed in: that is only the service's word."]
      : []),
    "- That the processor moved the money: look the payment up there, by its id.",
    `- That ${head === undefined ? "these are all receipts, or that no other chain was shown to others: to check that, keep heads" : "no receipt follows that head"}.`,
  ];
}

function at(time: string): string {
  return formatTime(new Date(time));
}

/**
 * Replaces control and bidi characters in a line for a terminal, as user-supplied names must not move the cursor or
 * reorder text.
 */
export function inert(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu, "\ufffd");
}

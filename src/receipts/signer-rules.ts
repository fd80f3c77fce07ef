import { canonicalText } from "../lib/canonical.ts";
import { sumOf } from "../lib/statement.ts";
import type { LinkedContent, Signed } from "./schemas.ts";

type Payment = LinkedContent["payments"][number];

/**
 * What is wrong with the signers of each payment (docs/contract.md §1, Two people). A payment names as many confirmations
 * as were required, over the same terms and card, by different people. No confirmation is for two payments of one milestone. A
 * confirmation that was sufficient alone has a payment; the first of two may have none.
 */
export function signerFaults(content: LinkedContent): string[] {
  return [...paymentSignerFaults(content), ...creditSignerFaults(content)];
}

function paymentSignerFaults({ approval, terms, statements, payments }: LinkedContent): string[] {
  const byCard = statements.filter(
    ({ statement }) => statement.decision === "confirm" && attempts(statement),
  );
  const named = payments.flatMap((payment) => payment.statements);
  const perMilestone = payments.flatMap((payment) =>
    payment.statements.map((digest) => `${digest} ${payment.milestoneId}`),
  );
  const faults: string[] = [];
  for (const payment of payments) {
    const signed = payment.statements.map((digest) => byCard.find((one) => one.digest === digest));
    faults.push(
      ...(isComplete(signed)
        ? faultsOfSigned(`payment ${payment.id}`, signed)
        : [`payment ${payment.id} is for a statement that is not there`]),
    );
  }
  if (new Set(perMilestone).size !== perMilestone.length) faults.push("two payments are for one statement");
  const last = statements.at(-1);
  if (approval.status === "confirmed" && last && byCard.includes(last) && !lastOf(payments, last))
    faults.push("the last payment is not for what was signed last");
  for (const { digest, signersRequired } of byCard) {
    if (signersRequired === 1 && !named.includes(digest))
      faults.push("a confirmation that was sufficient alone has no payment");
    const limit = approval.secondSignerFromCents;
    if (signersRequired === 1 && limit !== null && sumOf(terms).amountCents >= limit)
      faults.push("one person confirmed what needs two");
  }
  return faults;
}

/** Whether attempts at the processor carry out what was signed: credits move without one. */
function attempts({ source, terms }: Signed["statement"]): boolean {
  if ("refunds" in terms) return terms.refunds.some(({ to }) => to === "card");
  return "payout" in terms || source?.kind === "card";
}

/** The same for entries of the credits. A statement that a payment names is not named by its entry. */
function creditSignerFaults({ approval, terms, statements, credits }: LinkedContent): string[] {
  const byCredits = statements.filter(
    ({ statement }) => statement.decision === "confirm" && !attempts(statement),
  );
  const own = credits.filter(({ type }) => type === "HOLD" || type === "HOLD_RELEASE");
  const faults = own.flatMap((entry) => {
    const signed = entry.statements.map((digest) => statements.find((one) => one.digest === digest));
    if (!isComplete(signed)) return [`credit entry ${entry.id} is for a statement that is not there`];
    return faultsOfSigned(`credit entry ${entry.id}`, signed);
  });
  const limit = approval.secondSignerFromCents;
  const alone = byCredits.some(({ signersRequired }) => signersRequired === 1);
  if (alone && limit !== null && sumOf(terms).amountCents >= limit)
    faults.push("one person confirmed what needs two");
  return faults;
}

function faultsOfSigned(what: string, signed: readonly Signed[]): string[] {
  const required = signed.at(-1)?.signersRequired;
  const people = new Set(signed.map(({ signedBy }) => signedBy.userId));
  const texts = new Set(signed.map(({ statement }) => canonicalText({ ...statement, nonce: "" })));
  // Compares no times, as the database's clock may have been set back between two signatures.
  const right: [boolean, string][] = [
    [signed.length === required, `was made for ${signed.length} signatures, and ${required} were required`],
    [people.size === signed.length, "was made for two signatures of one person"],
    [texts.size === 1, "was made for signatures over different things"],
  ];
  return right.filter(([holds]) => !holds).map(([, fault]) => `${what} ${fault}`);
}

function lastOf(payments: readonly Payment[], { digest }: Signed): boolean {
  return payments.at(-1)?.statements.at(-1) === digest;
}

function isComplete(signed: readonly (Signed | undefined)[]): signed is Signed[] {
  return !signed.includes(undefined);
}

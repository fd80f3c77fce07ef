import { canonicalText } from "../lib/canonical.ts";
import type { LinkedContent, Signed } from "./schemas.ts";

type Payment = LinkedContent["payments"][number];

/**
 * What is wrong with the signers of each payment (CONTRACT.md §1, Two people). A payment names as many confirmations
 * as were required, over the same terms and card, by different people. No confirmation is for two payments. A
 * confirmation that was sufficient alone has a payment; the first of two may have none.
 */
export function signerFaults({ approval, terms, statements, payments }: LinkedContent): string[] {
  const byCard = statements.filter(
    ({ statement }) => statement.decision === "confirm" && statement.source?.kind === "card",
  );
  const named = payments.flatMap((payment) => payment.statements);
  const faults: string[] = [];
  for (const payment of payments) {
    const signed = payment.statements.map((digest) => byCard.find((one) => one.digest === digest));
    faults.push(
      ...(isComplete(signed)
        ? faultsOfPayment(payment, signed)
        : [`payment ${payment.id} is for a statement that is not there`]),
    );
  }
  if (new Set(named).size !== named.length) faults.push("two payments are for one statement");
  const last = statements.at(-1);
  if (approval.status === "confirmed" && last && byCard.includes(last) && !lastOf(payments, last))
    faults.push("the last payment is not for what was signed last");
  for (const { digest, signersRequired } of byCard) {
    if (signersRequired === 1 && !named.includes(digest))
      faults.push("a confirmation that was sufficient alone has no payment");
    const limit = approval.secondSignerFromCents;
    if (signersRequired === 1 && limit !== null && terms.amountCents >= limit)
      faults.push("one person confirmed what needs two");
  }
  return faults;
}

function faultsOfPayment({ id }: Payment, signed: readonly Signed[]): string[] {
  const required = signed.at(-1)?.signersRequired;
  const people = new Set(signed.map(({ signedBy }) => signedBy.userId));
  const texts = new Set(signed.map(({ statement }) => canonicalText({ ...statement, nonce: "" })));
  // Compares no times, as the database's clock may have been set back between two signatures.
  const right: [boolean, string][] = [
    [signed.length === required, `was made for ${signed.length} signatures, and ${required} were required`],
    [people.size === signed.length, "was made for two signatures of one person"],
    [texts.size === 1, "was made for signatures over different things"],
  ];
  return right.filter(([holds]) => !holds).map(([, fault]) => `payment ${id} ${fault}`);
}

function lastOf(payments: readonly Payment[], { digest }: Signed): boolean {
  return payments.at(-1)?.statements.at(-1) === digest;
}

function isComplete(signed: readonly (Signed | undefined)[]): signed is Signed[] {
  return !signed.includes(undefined);
}

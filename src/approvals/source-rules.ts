import type { Source } from "../lib/statement.ts";
import type { HumanApprovalRow } from "./human-store.ts";

type Paying = Pick<HumanApprovalRow, "type" | "terms" | "card" | "billing" | "availableCents">;

/**
 * What pays for a funding as the account is set up now (docs/contract.md §5): the credits where they cover the whole amount, else
 * the card, which must be on file either way. Null where money that is held moves: nothing is drawn on.
 */
export function payingSource({ type, terms, card, billing, availableCents }: Paying): Source | null {
  if (type !== "milestone_fund" || card === null || !("amountCents" in terms)) return null;
  if (billing === "credits_first" && availableCents >= terms.amountCents)
    return { kind: "credits", brand: null, last4: null };
  return { kind: "card", brand: card.brand, last4: card.last4 };
}

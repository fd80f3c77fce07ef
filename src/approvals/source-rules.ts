import type { Source } from "../lib/statement.ts";
import type { HumanApprovalRow } from "./human-store.ts";

type Paying = Pick<HumanApprovalRow, "type" | "terms" | "card" | "billing" | "availableCents">;

/**
 * What a funding is paid from in the account's current setup (docs/contract.md §5): the credits if they cover the
 * whole amount, else the card. A card must be on file in both cases. Null if held money moves.
 */
export function payingSource({ type, terms, card, billing, availableCents }: Paying): Source | null {
  if (type !== "milestone_fund" || card === null || !("amountCents" in terms)) return null;
  if (billing === "credits_first" && availableCents >= terms.amountCents)
    return { kind: "credits", brand: null, last4: null };
  return { kind: "card", brand: card.brand, last4: card.last4 };
}

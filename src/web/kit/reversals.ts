import type { ReversalRow } from "../../billing/payment-service.ts";
import { type Html, html } from "../../lib/html.ts";
import { amount, time } from "./wording.ts";

/** What became of money that went back from the processor's side, each as a notice on the approval's page. */
export function reversalBanners(reversals: readonly ReversalRow[]): Html[] {
  return reversals.map((reversal) => {
    const { strong, rest } = says(reversal);
    return html`<p class="notice${reversal.takenCents > 0 && html` wrong`}"><strong>${strong}</strong> ${rest}
        Last heard of on ${time(reversal.updatedAt)}.</p>`;
  });
}

/** The same in a word or two, for a list; `undefined` when there is nothing to say. */
export function reversalWords(reversals: readonly ReversalRow[]): string | undefined {
  const words = reversals.map(({ kind, final, takenCents }) => {
    if (kind === "refund") return takenCents > 0 ? "refunded" : undefined;
    if (final) return takenCents > 0 ? "dispute lost" : undefined;
    return takenCents > 0 ? "disputed" : "questioned";
  });
  return [...new Set(words)].filter((word) => word !== undefined).join(", ") || undefined;
}

function says({ kind, final, takenCents, amountCents, currency }: ReversalRow): {
  strong: Html;
  rest: string;
} {
  const sum = amount(takenCents > 0 ? takenCents : amountCents, currency);
  if (kind === "refund") {
    return takenCents > 0
      ? { strong: html`${sum} went back to the card.`, rest: "It was refunded at the processor." }
      : { strong: html`A refund of ${sum} was asked for.`, rest: "It has not gone through." };
  }
  if (final) {
    return takenCents > 0
      ? { strong: html`A dispute was lost: the bank took ${sum} back.`, rest: "" }
      : { strong: html`A dispute over ${sum} is over.`, rest: "The money is not taken back." };
  }
  return takenCents > 0
    ? {
        strong: html`The card’s holder disputes this payment.`,
        rest: "The bank has taken the money back until that is decided.",
      }
    : { strong: html`The bank asks about this payment.`, rest: "It has not taken any money back." };
}

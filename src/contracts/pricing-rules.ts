import type { PaymentType } from "../database/schema.ts";
import { centsToDollars, MAX_AMOUNT_CENTS, MIN_AMOUNT_CENTS } from "../lib/money.ts";
import { badField, Problem } from "../lib/problems.ts";

export type Priced = { paymentType: PaymentType; rateCents: number | null };
export type Asked = { amountCents: number | null; volume: number | null };

/**
 * Checks that the milestone has what the contract's payment type needs (docs/contract.md §4): an amount for a fixed price,
 * a volume for hours and labels.
 * @throws Problem bad_request {field}
 */
export function assertPriced({ paymentType }: Priced, { amountCents, volume }: Asked): void {
  if (paymentType === "FIXED_PRICE" && amountCents === null) {
    throw badField("amountUsd", "A milestone of a fixed-price contract needs `amountUsd`.");
  }
  if (paymentType !== "FIXED_PRICE" && volume === null) {
    throw badField(
      "volume",
      `A milestone of this contract, paid by ${unitOf(paymentType)}, needs \`volume\`.`,
    );
  }
}

/**
 * The price of a new milestone, in cents. By volume it is exactly rate × volume, rounded to the nearest cent, half a
 * cent up; a given amount must equal it.
 * @throws Problem contract_rate_missing, bad_request {field}
 */
export function priceMilestone(contract: Priced, { amountCents, volume }: Asked): number {
  if (contract.paymentType === "FIXED_PRICE" || volume === null) {
    if (amountCents === null) throw new TypeError("a fixed price needs an amount");
    return amountCents;
  }
  if (contract.rateCents === null) throw new Problem("contract_rate_missing");
  const cents = timesVolume(contract.rateCents, volume);
  if (amountCents !== null && cents !== BigInt(amountCents)) {
    const expected = centsToDollars(Number(cents));
    throw new Problem(
      "bad_request",
      { field: "amountUsd", expectedAmountUsd: expected },
      `\`amountUsd\` must be the contract's rate times \`volume\`: ${expected}. Correct it or leave it out.`,
    );
  }
  if (cents < BigInt(MIN_AMOUNT_CENTS) || cents > BigInt(MAX_AMOUNT_CENTS)) {
    const bounds = `${MIN_AMOUNT_CENTS / 100} to ${MAX_AMOUNT_CENTS / 100}`;
    throw badField("volume", `The contract's rate times \`volume\` must be ${bounds} dollars.`);
  }
  return Number(cents);
}

/** Cents times a decimal, rounded to whole cents, half up. In integers, as `1.005 * 100` is 100.49999999999999. */
function timesVolume(cents: number, volume: number): bigint {
  const [digits, scale] = toDecimal(volume);
  const product = BigInt(cents) * digits;
  return (2n * product + scale) / (2n * scale);
}

/** The decimal text of a number, as an integer over a power of ten: 1.5 → [15, 10]. */
function toDecimal(number: number): [digits: bigint, scale: bigint] {
  const [mantissa = "", exponent = "0"] = String(number).split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  const digits = BigInt(whole + fraction);
  const power = Number(exponent) - fraction.length;
  return power < 0 ? [digits, 10n ** BigInt(-power)] : [digits * 10n ** BigInt(power), 1n];
}

function unitOf(paymentType: PaymentType): string {
  return paymentType === "PAY_PER_HOUR" ? "the hour" : "the label";
}

import type { PaymentType } from "../database/schema.ts";
import { centsToDollars, MAX_AMOUNT_CENTS, MIN_AMOUNT_CENTS } from "../lib/money.ts";
import { badField, Problem } from "../lib/problems.ts";

export type Priced = { paymentType: PaymentType; rateCents: number | null };
export type Asked = { amountCents: number | null; volume: number | null };

/**
 * Makes sure that what the contract's way to pay needs is there (CONTRACT.md §4): an amount for a fixed price, a
 * volume for hours and labels.
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
 * What a new milestone costs, in cents. By volume it is rate × volume, exactly, to the nearest cent, half a cent up;
 * an amount that was given beside must be that.
 * @throws Problem contract_rate_missing, bad_request {field}
 */
export function priceMilestone(contract: Priced, { amountCents, volume }: Asked): number {
  if (contract.paymentType === "FIXED_PRICE" || volume === null) {
    if (amountCents === null) throw new TypeError("a fixed price was not asserted");
    return amountCents;
  }
  if (contract.rateCents === null) throw new Problem("contract_rate_missing");
  const cents = timesVolume(contract.rateCents, volume);
  if (amountCents !== null && cents !== BigInt(amountCents)) {
    const expected = centsToDollars(Number(cents));
    throw new Problem(
      "bad_request",
      { field: "amountUsd", expectedAmountUsd: expected },
      `\`amountUsd\` is not the contract's rate times \`volume\`, which is ${expected}. Leave it out, or correct it.`,
    );
  }
  if (cents < BigInt(MIN_AMOUNT_CENTS) || cents > BigInt(MAX_AMOUNT_CENTS)) {
    const bounds = `${MIN_AMOUNT_CENTS / 100} to ${MAX_AMOUNT_CENTS / 100}`;
    throw badField("volume", `The contract's rate times \`volume\` must come to ${bounds} dollars.`);
  }
  return Number(cents);
}

/** Cents times a decimal, rounded to whole cents, half up. In integers: `1.005 * 100` is 100.49999999999999. */
function timesVolume(cents: number, volume: number): bigint {
  const [digits, scale] = toDecimal(volume);
  const product = BigInt(cents) * digits;
  return (2n * product + scale) / (2n * scale);
}

/** The number as it is written, as an integer over a power of ten: 1.5 → [15, 10]. */
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

import { type Static, type TObject, Type } from "@sinclair/typebox";
import type { Policy } from "../../../accounts/policy-service.ts";
import type { Billing, CoSign } from "../../../database/schema.ts";
import { canonicalText } from "../../../lib/canonical.ts";
import { centsToDollars, formatAmount, MAX_AMOUNT_CENTS, MIN_AMOUNT_CENTS } from "../../../lib/money.ts";
import { readAmount } from "../../approvals/typed-amount-rules.ts";
import type { Fault } from "../../kit/forms.ts";
import { PROOF, UUID } from "../../kit/person-routes.ts";

const CURRENCY = "usd";

/** What the form holds, as it was typed. */
export type PolicyDraft = { co_sign: CoSign; typed_from: string; second_from: string; billing: Billing };

export const POLICY_FIELDS = {
  ...PROOF,
  account_id: UUID,
  /** The policy that the page showed. */
  shown: Type.String({ maxLength: 500 }),
  co_sign: Type.Unsafe<CoSign>(Type.String({ enum: ["session", "passkey"] })),
  typed_from: Type.String({ maxLength: 30 }),
  second_from: Type.String({ maxLength: 30 }),
  billing: Type.Unsafe<Billing>(Type.String({ enum: ["card", "credits_first"] })),
};
export type PolicyForm = Static<TObject<typeof POLICY_FIELDS>>;

/** The ids of the form's fields, of which each account has its own. */
export const policyFields = (accountId: string) => ({
  coSign: `co-sign-${accountId}`,
  typedFrom: `typed-from-${accountId}`,
  secondFrom: `second-from-${accountId}`,
  billing: `billing-${accountId}`,
  password: `password-${accountId}`,
});

/** The policy that the page shows, for the form to say which one it was. */
export function shownOf(policy: Policy): string {
  return canonicalText(policy);
}

/** The form as it first stands. */
export function draftOf({
  coSign,
  amountTypedFromCents,
  secondSignerFromCents,
  billing,
}: Policy): PolicyDraft {
  const dollars = (cents: number | null) => (cents === null ? "" : centsToDollars(cents).toFixed(2));
  return {
    co_sign: coSign,
    typed_from: dollars(amountTypedFromCents),
    second_from: dollars(secondSignerFromCents),
    billing,
  };
}

/**
 * The policy that a form asks for, or what is wrong with it.
 * @param most the operator's amount from which a confirmation is typed, in cents
 */
export function policyOf(draft: PolicyDraft, accountId: string, most: number): Policy | Fault {
  const ids = policyFields(accountId);
  const typed = read(draft.typed_from);
  const second = read(draft.second_from);
  const example = formatAmount(100_000, CURRENCY);
  const unread = (field: string): Fault => ({
    field,
    message: `Enter an amount such as ${example}, or leave it empty.`,
  });
  if (typed === undefined) return unread(ids.typedFrom);
  if (typed !== null && typed > most)
    return { field: ids.typedFrom, message: `Enter ${formatAmount(most, CURRENCY)} or less.` };
  if (second === undefined || (second !== null && (second < MIN_AMOUNT_CENTS || second > MAX_AMOUNT_CENTS)))
    return unread(ids.secondFrom);
  return {
    coSign: draft.co_sign,
    amountTypedFromCents: typed,
    secondSignerFromCents: second,
    billing: draft.billing,
  };
}

/** Cents; null: left empty; `undefined`: no amount. */
function read(typed: string): number | null | undefined {
  return typed.trim() === "" ? null : readAmount(typed, CURRENCY);
}

import type { MemberRow } from "../../../accounts/member-service.ts";
import type { Policy } from "../../../accounts/policy-service.ts";
import type { Billing, CoSign } from "../../../database/schema.ts";
import { type Html, html } from "../../../lib/html.ts";
import { banner, choice, type Fault, faultSummary, field, hiddenField } from "../../kit/forms.ts";
import type { Page } from "../../kit/layout.ts";
import { PASSKEY_SCRIPT, type Prover, presenceScript } from "../../kit/presence.ts";
import { signedForm, signingField, signingNeedsScript } from "../../kit/signing.ts";
import { amount, headingsIn, mentioned } from "../../kit/wording.ts";
import { PENDING_BANNERS, type PendingView, pendingRows } from "../changes/pending-pages.ts";
import { draftOf, type PolicyDraft, policyFields, shownOf } from "./policy-forms.ts";

export const POLICY = "/settings/policy";

/** One account's part of the page. */
export type PolicySection = {
  accountId: string;
  accountName: string;
  policy: Policy;
  /** The operator's amount from which a confirmation is typed, in cents: the most that the account's can be. */
  mostTypedCents: number;
  pending: readonly PendingView[];
  owners: readonly Pick<MemberRow, "name" | "email">[];
  /** Members who may confirm, and how many of them have an active passkey. */
  deciders: { all: number; withPasskey: number };
  /** What makes the form; absent for all but owners. */
  changing:
    | {
        formToken: string;
        signs: boolean;
        /** Passkeys are demanded, and the owner has no active one. */
        lacksPasskey: boolean;
        draft?: PolicyDraft | undefined;
      }
    | undefined;
};

const CO_SIGN: Record<CoSign, string> = { session: "Passkey or password", passkey: "Passkey only" };
const BILLING: Record<Billing, string> = {
  card: "The card on file",
  credits_first: "Credits if they cover it, otherwise the card",
};
const entries = <K extends string>(words: Record<K, string>) => Object.entries(words) as [K, string][];

const BANNERS: Record<string, string> = {
  ...PENDING_BANNERS,
  changed: "Policy changed. The owners have been notified by email.",
  same: "Nothing was changed: this is the policy already.",
};

/** `/settings/policy`: what it takes to confirm a payment in an account, and what pays (docs/contract.md §7). */
export function policyPage(
  human: Prover,
  sections: readonly PolicySection[],
  { said, fault }: { said?: string | undefined; fault?: Fault | undefined } = {},
): Page {
  const signs = sections.some(
    ({ changing, pending }) => changing?.signs === true || pending.some((one) => one.signs),
  );
  return {
    title: "Policy",
    ...(signs ? PASSKEY_SCRIPT : presenceScript(human)),
    body: html`
      ${banner(said === undefined ? undefined : BANNERS[said])}
      ${faultSummary(fault)}
      <p>What it takes to confirm a payment. The amounts count everything confirmed in the account within 24 hours. Requests that
        are pending when a rule on passkeys or a second person is loosened keep the stricter rule.</p>
      ${sections.map((section) => account(human, section, sections.length > 1, fault))}`,
  };
}

function account(human: Prover, section: PolicySection, several: boolean, fault: Fault | undefined): Html {
  const { accountName, pending, changing } = section;
  const heading = headingsIn(several);
  return html`${several && html`<h2>${mentioned(accountName)}</h2>`}
      ${pendingRows(human, pending, heading)}
      ${pending.length > 0 && heading("The policy now")}
      ${changing === undefined ? readOnly(section) : form(human, section, changing, fault)}`;
}

function readOnly({ policy, mostTypedCents, owners }: PolicySection): Html {
  const typedFrom = Math.min(policy.amountTypedFromCents ?? mostTypedCents, mostTypedCents);
  const second = policy.secondSignerFromCents;
  return html`<dl class="terms">
        <div><dt>Confirm with</dt><dd>${CO_SIGN[policy.coSign]}</dd></div>
        <div><dt>Type the amount from</dt><dd>${amount(typedFrom, "usd")} in 24 hours</dd></div>
        <div><dt>Second person from</dt><dd>${second === null ? "Never" : html`${amount(second, "usd")} in 24 hours`}</dd></div>
        <div><dt>Fundings are paid from</dt><dd>${BILLING[policy.billing]}</dd></div>
      </dl>
      <p class="quiet">Owners can change this: ${owners.map(({ name, email }, i) => html`${i > 0 && ", "}${mentioned(name)} (${email})`)}.</p>`;
}

function form(
  human: Prover,
  section: PolicySection,
  { formToken, signs, lacksPasskey, draft }: NonNullable<PolicySection["changing"]>,
  fault: Fault | undefined,
): Html {
  const { accountId, policy, mostTypedCents } = section;
  if (lacksPasskey)
    return html`${readOnly(section)}
      <p class="notice">This account accepts passkeys only, so an active passkey must sign a change of its policy.
        <a href="/settings/security">Add a passkey, or see what it’s waiting for</a>.</p>`;
  const ids = policyFields(accountId);
  const { co_sign, typed_from, second_from, billing } = draft ?? draftOf(policy);
  const input = { type: "text", autocomplete: "off", digits: "decimal", optional: true, fault } as const;
  return html`${signingNeedsScript(signs)}<form method="post" action="${POLICY}"${signedForm(POLICY, signs)}>
        ${hiddenField("account_id", accountId)}
        ${hiddenField("shown", shownOf(policy))}
        ${hiddenField("form_token", formToken)}
        ${choice({ name: "co_sign", id: ids.coSign, label: "Confirm with", options: entries(CO_SIGN), value: co_sign, hint: aboutPasskeys(section) })}
        ${field({
          ...input,
          name: "typed_from",
          id: ids.typedFrom,
          label: "Type the amount from, in dollars",
          value: typed_from,
          maxLength: 20,
          hint: html`Once the account has confirmed this much, the amount is typed before it’s confirmed. Leave it empty for
            ${amount(mostTypedCents, "usd")}, the operator’s amount and the most it can be.`,
        })}
        ${field({
          ...input,
          name: "second_from",
          id: ids.secondFrom,
          label: "Second person from, in dollars",
          value: second_from,
          maxLength: 20,
          hint: "Once the account has confirmed this much, two people must confirm. Leave it empty for never.",
        })}
        ${choice({ name: "billing", id: ids.billing, label: "Fundings are paid from", options: entries(BILLING), value: billing })}
        ${
          policy.secondSignerFromCents !== null &&
          html`<p class="quiet">Raising or emptying an amount, or accepting passwords again, takes effect once another owner or approver
          agrees.</p>`
        }
        ${signingField(human, signs, ids.password, fault)}
        <p class="quiet">The owners will be notified by email.</p>
        <button type="submit"${signs && " disabled"}>Save policy</button>
      </form>`;
}

/** Who could not confirm any more if passwords were not accepted. */
function aboutPasskeys({ deciders: { all, withPasskey } }: PolicySection): Html {
  return html`With “Passkey only”, a password doesn’t confirm payments or change members. ${
    withPasskey === all
      ? "Everyone who can confirm has an active passkey."
      : withPasskey === 0
        ? html`No one who can confirm has an active passkey yet: an owner must <a href="/settings/security">add one</a> first.`
        : html`${withPasskey} of ${all} people who can confirm have an active passkey. The others can’t confirm until they have
            one.`
  }`;
}

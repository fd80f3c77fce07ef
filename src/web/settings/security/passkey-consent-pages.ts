import { type Html, html } from "../../../lib/html.ts";
import type { Consent, WaitingPasskey } from "../../../passkeys/activation-service.ts";
import { type Fault, hiddenField } from "../../kit/forms.ts";
import { type Prover, presenceField } from "../../kit/presence.ts";
import { mentioned, named, time } from "../../kit/wording.ts";

export const CONSENTS = "/settings/security/passkey-consents";
export const CONSENT_PURPOSES = {
  agree: ({ accountId, passkeyId }: Consent) => `passkeys:agree:${accountId}:${passkeyId}`,
  stop: ({ accountId, passkeyId }: Consent) => `passkeys:stop:${accountId}:${passkeyId}`,
};

/** The password's field of a consent, where a page has several. */
export function consentField({ accountId, passkeyId }: Consent): string {
  return `password-${accountId}-${passkeyId}`;
}

type Around = { byPasskey: boolean; tokens: (purpose: string) => Html; fault?: Fault | undefined };

/** On `/settings/security`: members' passkeys that wait for an owner. */
export function consentsPart(human: Prover, waiting: readonly WaitingPasskey[], around: Around): Html {
  return html`
      <h2>Passkeys waiting for your consent</h2>
      <p>These people have added a passkey with only a password or an emailed link. <strong>Anyone who can read their email
        could have done that.</strong> Ask them in person or by phone before you agree.</p>
      ${
        !mayAgree(human, around) &&
        html`<p class="notice">You can’t agree yet: your own password was set by an emailed link and you have no active passkey. Ask
        another owner to agree to a passkey of yours first.</p>`
      }
      <ul class="rows">${waiting.map(
        (one) => html`
        <li>
          <p><strong>${named(one.name)}</strong> (${one.email}), in <strong>${mentioned(one.accountName)}</strong>:
            “${mentioned(one.passkeyName)}”, added ${time(one.addedAt)}</p>
          ${one.opensAt === null ? null : opened(one, one.opensAt, around)}
          ${
            one.consented
              ? html`<p class="quiet">An owner of this account has agreed. An owner of another account must agree too.</p>`
              : mayAgree(human, around) && agreeing(human, one, around)
          }
        </li>`,
      )}</ul>`;
}

function mayAgree({ trusted }: Prover, { byPasskey }: Around): boolean {
  return trusted || byPasskey;
}

function opened(one: WaitingPasskey, from: Date, { tokens }: Around): Html {
  return html`<p class="notice wrong">The operator has activated this passkey. <strong>They can confirm with it from ${time(from)}.</strong></p>
          <form method="post" action="${CONSENTS}/stop">
            ${tokens(CONSENT_PURPOSES.stop(one))}
            ${subject(one)}
            <button class="second" type="submit">Stop passkey</button>
          </form>`;
}

function agreeing(human: Prover, one: WaitingPasskey, { byPasskey, tokens, fault }: Around): Html {
  const asking = html` data-passkey="get" data-options="${CONSENTS}/options"`;
  return html`${
    byPasskey &&
    html`<noscript><p class="notice wrong"><strong>Agreeing needs JavaScript.</strong> You sign it with your passkey, and
            browsers ask for passkeys by script only.</p></noscript>`
  }
          <form method="post" action="${CONSENTS}"${byPasskey && asking}${byPasskey && html` class="scripted"`}>
            ${tokens(CONSENT_PURPOSES.agree(one))}
            ${subject(one)}
            ${byPasskey ? hiddenField("credential", "") : presenceField(human, consentField(one), fault)}
            <button type="submit"${byPasskey && " disabled"}>I’ve asked them: it’s theirs</button>
            ${byPasskey && html`<p class="quiet passkey-said" role="status"></p>`}
          </form>`;
}

function subject({ accountId, passkeyId }: Consent): Html {
  return html`${hiddenField("account_id", accountId)}${hiddenField("passkey_id", passkeyId)}`;
}

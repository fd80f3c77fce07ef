import { type Html, html } from "../../../lib/html.ts";
import type { WaitingPasskey } from "../../../passkeys/activation-service.ts";
import type { Human } from "../../../sign-in/gate.ts";
import { type OpenSession, PASSWORD_AT_LEAST, PASSWORD_AT_MOST } from "../../../sign-in/service.ts";
import type { Invitation } from "../../../team/invitation-service.ts";
import { ROLE_WORDS } from "../../entry/invite-pages.ts";
import { type Fault, faultSummary, hiddenField, notice, passwordField } from "../../kit/forms.ts";
import type { Page } from "../../kit/layout.ts";
import { signedForm, signingField } from "../../kit/signing.ts";
import { mentioned } from "../../kit/wording.ts";
import { consentsPart } from "./passkey-consent-pages.ts";
import { PASSKEY_SCRIPT, type PasskeyView, passkeysPart } from "./passkey-pages.ts";

const NOTICES: Record<string, string> = {
  password: "Your password is changed, and you are signed out everywhere else.",
  sessions: "You are signed out everywhere else.",
  consented: "You have agreed. The person can accept now.",
  over: "Nothing was done: it is decided already, or the operator has changed it. Read again what waits for you.",
  refused: "You have refused. The invitation is over.",
  passkey: "Your passkey is added. It signs you in from now on.",
  "passkey-waits": "Your passkey is added. It signs you in; before it confirms, an owner must agree to it.",
  "passkey-renamed": "The passkey has its new name.",
  "passkey-agreed": "You have agreed. The passkey counts now, and they are mailed.",
  "passkey-agreed-here": "You have agreed. Owners of this person’s other accounts must agree too.",
  "passkey-over": "Nothing was done: that passkey waits no more.",
  "passkey-stopped": "You have stopped it. The passkey confirms nothing.",
  "passkey-removed": "The passkey is removed, and you are signed out everywhere else.",
};

/** A form's token, for the purpose. */
export type Tokens = (purpose: string) => Html;

export const PURPOSES = {
  password: "security:password",
  sessions: "security:sessions",
  consent: (invitationId: string, role: string) => `security:consent:${invitationId}:${role}`,
};

type Parts = {
  human: Human;
  passkeys: readonly PasskeyView[];
  /** Whether there can be passkeys here. */
  passkeysUsable: boolean;
  sessions: readonly OpenSession[];
  waiting: readonly Invitation[];
  waitingPasskeys: readonly WaitingPasskey[];
  /** Whether the person consents to those by a passkey of their own. */
  byPasskey: boolean;
  /** Whether the person's last proof of presence still counts. */
  fresh: boolean;
  tokens: Tokens;
  said?: string | undefined;
  fault?: Fault | undefined;
};

/** `/settings/security`: the password, the places where one is signed in, and who waits for consent. */
export function securityPage(parts: Parts): Page {
  const {
    human,
    passkeys,
    passkeysUsable,
    sessions,
    waiting,
    waitingPasskeys,
    byPasskey,
    tokens,
    said,
    fault,
  } = parts;
  return {
    title: "Security",
    ...(byPasskey && waitingPasskeys.length + waiting.length > 0 && PASSKEY_SCRIPT),
    body: html`
      ${notice(said === undefined ? undefined : NOTICES[said])}
      ${faultSummary(fault)}
      ${waiting.length > 0 && waitingPart(parts)}
      ${waitingPasskeys.length > 0 && consentsPart(human, waitingPasskeys, parts)}
      ${passkeysPart(human, passkeys, passkeysUsable)}
      <h2>Password</h2>
      <form method="post" action="/settings/security/password">
        ${tokens(PURPOSES.password)}
        ${passwordField(human.email, {
          name: "current",
          label: "Your password now",

          autocomplete: "current-password",
          maxLength: PASSWORD_AT_MOST,
          fault,
        })}
        ${passwordField(undefined, {
          name: "next",
          label: "New password",

          autocomplete: "new-password",
          hint: `At least ${PASSWORD_AT_LEAST} characters. You will be signed out everywhere else, and mailed.`,
          minLength: PASSWORD_AT_LEAST,
          maxLength: PASSWORD_AT_MOST,
          fault,
        })}
        <button type="submit">Change the password</button>
      </form>
      <h2>Where you are signed in</h2>
      <ul class="rows">${sessions.map(sessionRow)}</ul>
      ${
        sessions.length > 1 &&
        html`<form method="post" action="/settings/security/sessions">
        ${tokens(PURPOSES.sessions)}
        <button class="second" type="submit">Sign out everywhere else</button>
      </form>`
      }`,
  };
}

function sessionRow({ current, userAgent, address, startedAt, seenAt }: OpenSession): Html {
  return html`
        <li>
          <strong>${current ? "This browser" : "Another browser"}</strong>
          <span class="quiet">${userAgent === "" ? "unnamed" : userAgent.slice(0, 120)}</span>
          <span class="quiet">${address !== "" && `from ${address}, `}since ${time(startedAt)}, last used ${time(seenAt)}</span>
        </li>`;
}

function waitingPart({ human, waiting, byPasskey, fresh, tokens, fault }: Parts): Html {
  return html`
      <h2>Waiting for your consent</h2>
      <p>The operator of this service invites these people. They can accept only if you, as an owner, agree.</p>
      <ul class="rows">${waiting.map(({ accountId, accountName, invitationId, email, name, role }) => {
        const id = `password-${invitationId}`;
        const signs = byPasskey && demandsPasskeys(human, accountId);
        return html`
        <li>
          <form method="post" action="/settings/security/consent"${signedForm("/settings/security/consent", signs)}>
            ${tokens(PURPOSES.consent(invitationId, role))}
            ${hiddenField("account_id", accountId)}
            ${hiddenField("invitation_id", invitationId)}
            ${hiddenField("role", role)}
            <p><strong>${mentioned(name)}</strong> (${email}) into <strong>${mentioned(accountName)}</strong> as ${ROLE_WORDS[role]}</p>
            ${
              (!(fresh || signs) || fault?.field === id) &&
              passwordField(human.email, {
                name: "password",
                id,
                label: "Your password, to show that it is you",

                autocomplete: "current-password",
                maxLength: PASSWORD_AT_MOST,
                fault,
              })
            }
            ${signs && signingField(human, signs, id, fault)}
            <div class="choices">
              <button type="submit" name="decision" value="consent"${signs && " disabled"}>Agree</button>
              <button class="second" type="submit" name="decision" value="refuse" data-unsigned>Refuse</button>
            </div>
          </form>
        </li>`;
      })}</ul>`;
}

function demandsPasskeys({ memberships }: Human, accountId: string): boolean {
  return memberships.some((own) => own.accountId === accountId && own.coSign === "passkey");
}

function time(at: Date): Html {
  const text = `${at.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  return html`<time datetime="${at.toISOString()}">${text}</time>`;
}

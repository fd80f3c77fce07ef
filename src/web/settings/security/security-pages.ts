import { browserName } from "../../../lib/browser-name.ts";
import { type Html, html } from "../../../lib/html.ts";
import { HOUR, MINUTE } from "../../../lib/time.ts";
import { placeOf } from "../../../lib/time-zone.ts";
import type { WaitingPasskey } from "../../../passkeys/activation-service.ts";
import type { Human } from "../../../sign-in/gate.ts";
import { type OpenSession, PASSWORD_AT_LEAST } from "../../../sign-in/service.ts";
import type { Invitation } from "../../../team/invitation-service.ts";
import { ROLE_WORDS } from "../../entry/invite-pages.ts";
import { banner, type Fault, faultSummary, hiddenField, passwordField } from "../../kit/forms.ts";
import type { Page } from "../../kit/layout.ts";
import { PASSKEY_SCRIPT, type Prover } from "../../kit/presence.ts";
import { signedForm, signingField } from "../../kit/signing.ts";
import { mentioned, time } from "../../kit/wording.ts";
import { consentsPart } from "./passkey-consent-pages.ts";
import { type PasskeyView, passkeysPart } from "./passkey-pages.ts";

const AGO = new Intl.RelativeTimeFormat("en-GB");

const BANNERS: Record<string, string> = {
  password: "Your password has been changed. You’ve been signed out everywhere else.",
  sessions: "You’ve been signed out everywhere else.",
  consented: "You agreed. They can accept the invitation now.",
  over: "Nothing was done. The invitation was already decided, or the operator changed it. Check what is pending below.",
  refused: "You refused. The invitation no longer works.",
  passkey: "Passkey added. You can now sign in with it.",
  "passkey-waits":
    "Passkey added. You can sign in with it. Before you can confirm with it, an owner must agree.",
  "passkey-renamed": "Passkey renamed.",
  "passkey-agreed": "You agreed. The passkey is active now. They’ve been notified by email.",
  "passkey-agreed-here": "You agreed. Owners of this person’s other accounts must agree too.",
  "passkey-over": "Nothing was done. That passkey is no longer pending.",
  "passkey-stopped": "You stopped the passkey. Nothing can be confirmed with it.",
  "passkey-removed": "Passkey removed. You’ve been signed out everywhere else.",
};

/** A form's token, for the purpose. */
export type Tokens = (purpose: string) => Html;

export const PURPOSES = {
  password: "security:password",
  sessions: "security:sessions",
  consent: (invitationId: string, role: string) => `security:consent:${invitationId}:${role}`,
};

type Parts = {
  human: Prover;
  passkeys: readonly PasskeyView[];
  /** Whether there can be passkeys here. */
  passkeysUsable: boolean;
  sessions: readonly OpenSession[];
  waiting: readonly Invitation[];
  waitingPasskeys: readonly WaitingPasskey[];
  /** Whether the person consents to those by a passkey of their own. */
  byPasskey: boolean;
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
    ...((byPasskey || human.presenceToken !== undefined) &&
      waitingPasskeys.length + waiting.length > 0 &&
      PASSKEY_SCRIPT),
    body: html`
      ${banner(said === undefined ? undefined : BANNERS[said])}
      ${faultSummary(fault)}
      ${waiting.length > 0 && waitingPart(parts)}
      ${waitingPasskeys.length > 0 && consentsPart(human, waitingPasskeys, parts)}
      ${passkeysPart(human, passkeys, passkeysUsable)}
      <h2>Password</h2>
      <form method="post" action="/settings/security/password">
        ${tokens(PURPOSES.password)}
        ${passwordField(human.email, {
          name: "current",
          label: "Current password",
          autocomplete: "current-password",
          fault,
        })}
        ${passwordField(undefined, {
          name: "next",
          label: "New password",
          autocomplete: "new-password",
          hint: `At least ${PASSWORD_AT_LEAST} characters. You’ll be signed out everywhere else and notified by email.`,
          fault,
        })}
        <button type="submit">Change password</button>
      </form>
      <h2>Where you’re signed in</h2>
      <ul class="rows">${sessions.map((session) => sessionRow(human.now, session))}</ul>
      ${
        sessions.length > 1 &&
        html`<form method="post" action="/settings/security/sessions">
        ${tokens(PURPOSES.sessions)}
        <button class="second" type="submit">Sign out everywhere else</button>
      </form>`
      }`,
  };
}

function sessionRow(now: Date, { current, userAgent, zone, address, startedAt, seenAt }: OpenSession): Html {
  const near = placeOf(zone);
  return html`
        <li>
          <strong>${mentioned(browserName(userAgent))}${near && `, ${near}`}</strong>${current && html` <b>This browser</b>`}
          <span class="quiet">${current ? "Active now" : `Last active ${ago(seenAt, now)}`}${address !== "" && ` · from ${address}`}</span>
          <span class="quiet">Signed in ${time(startedAt)}</span>
        </li>`;
}

/** `3 hours ago`. A session ends after 12 idle hours, so no greater unit is needed. */
function ago(at: Date, now: Date): string {
  const past = now.getTime() - at.getTime();
  if (past < MINUTE) return "just now";
  return past < HOUR
    ? AGO.format(-Math.floor(past / MINUTE), "minute")
    : AGO.format(-Math.floor(past / HOUR), "hour");
}

function waitingPart({ human, waiting, byPasskey, tokens, fault }: Parts): Html {
  return html`
      <h2>Waiting for your consent</h2>
      <p>The operator of this service has invited these people. They can accept only if an owner agrees.</p>
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
            <p><strong>${mentioned(name)}</strong> (${email}) to <strong>${mentioned(accountName)}</strong> as ${ROLE_WORDS[role]}</p>
            ${signingField(human, signs, id, fault)}
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

import { type Html, html } from "../../lib/html.ts";
import { brief } from "../../lib/names.ts";
import { PASSWORD_AT_LEAST, PASSWORD_AT_MOST } from "../../sign-in/service.ts";
import type { InvitationView } from "../../team/invitation-service.ts";
import { type Fault, faultSummary, hiddenField, passwordField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { mentioned, named } from "../kit/wording.ts";

export const ROLE_WORDS = {
  owner: "an owner, who confirms or declines what agents ask for, and looks after its members and cards",
  approver: "an approver, who confirms or declines what agents ask for",
  viewer: "a viewer, who sees what agents ask for, and decides nothing",
};

/**
 * What the person is invited to. Which form follows depends on who is signed in, and never on whether the e-mail is
 * known: whoever invites may have the link, and would learn it.
 */
export function invitePage(
  { invitation }: InvitationView,
  token: string,
  visitor: { email: string; tokenField: Html } | undefined,
  fault?: Fault,
): Page {
  const { accountName, email, name, role, waitsForConsent } = invitation;
  return {
    title: `Join ${brief(accountName)}`,
    heading: html`Join ${mentioned(accountName)}`,
    body: html`
      ${faultSummary(fault)}
      <p>This invitation is for <strong>${named(name)}</strong> (${email}): to be part of the account
        <strong>${named(accountName)}</strong> as ${ROLE_WORDS[role]}.</p>
      ${
        waitsForConsent
          ? waitingPart()
          : visitor !== undefined
            ? memberPart(token, email, visitor)
            : strangerPart(token, email, fault)
      }
      <p class="quiet">Opening this page has not used the invitation up.</p>`,
  };
}

/** One page for an invitation that is unknown, used, replaced or expired. */
export const inviteOverPage: Page = {
  title: "This invitation is over",
  body: html`
      <p>An invitation works once and for 24 hours, and a newer one replaces it. If you have accepted it already,
        <a href="/sign-in">sign in</a>. If not, ask whoever sent it for a new one.</p>`,
};

/** What `/invite` is for, when nobody brings a token. */
export const inviteMissingPage: Page = {
  title: "You are invited",
  body: html`
      <p>Somebody who looks after an account here can invite you into it. Open the whole link that you were given:
        it ends in a long token, which is missing here.</p>`,
};

const waitingPart = (): Html => html`
      <p class="notice"><strong>An owner of the account must agree first.</strong> They find this invitation under
        Security. Once they have agreed, and within 24 hours of the invitation, this page lets you accept.</p>`;

const memberPart = (token: string, email: string, visitor: { email: string; tokenField: Html }): Html =>
  visitor.email === email
    ? html`
      <form method="post" action="/invite">
        ${visitor.tokenField}
        ${hiddenField("token", token)}
        <button type="submit">Accept</button>
      </form>`
    : html`
      <p class="notice">You are signed in as ${visitor.email}. Sign out first: the invitation is for ${email}.</p>`;

const strangerPart = (token: string, email: string, fault: Fault | undefined): Html => html`
      <h2>If you are new here</h2>
      <form method="post" action="/invite">
        ${hiddenField("token", token)}
        ${passwordField(email, {
          name: "password",
          label: "Choose a password",

          autocomplete: "new-password",
          hint: `At least ${PASSWORD_AT_LEAST} characters.`,
          minLength: PASSWORD_AT_LEAST,
          maxLength: PASSWORD_AT_MOST,
          fault,
        })}
        <button type="submit">Accept and sign in</button>
      </form>
      <h2>If you sign in here already</h2>
      <p>Do so with ${email}. Your password stays as it is.</p>
      <p><a class="button second" href="/sign-in?return_to=${encodeURIComponent(`/invite?token=${token}`)}">Sign in to accept</a></p>`;

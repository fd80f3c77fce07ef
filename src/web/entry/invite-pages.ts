import { type Html, html } from "../../lib/html.ts";
import { brief } from "../../lib/names.ts";
import { PASSWORD_AT_LEAST } from "../../sign-in/service.ts";
import type { InvitationView } from "../../team/invitation-service.ts";
import { type Fault, faultSummary, hiddenField, passwordField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { mentioned, named } from "../kit/wording.ts";

export const ROLE_WORDS = {
  owner: "an owner, who confirms or declines agents’ requests and manages members and cards",
  approver: "an approver, who confirms or declines agents’ requests",
  viewer: "a viewer, who sees agents’ requests but can’t decide them",
};

/**
 * What the person is invited to. The form depends on who is signed in, never on whether the email is known: the
 * inviter may have the link, and would learn it.
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
      <p><strong>${named(name)}</strong> (${email}) is invited to join the account
        <strong>${named(accountName)}</strong> as ${ROLE_WORDS[role]}.</p>
      ${
        waitsForConsent
          ? waitingPart()
          : visitor !== undefined
            ? memberPart(token, email, visitor)
            : strangerPart(token, email, fault)
      }
      <p class="quiet">Opening this page doesn’t use up the invitation.</p>`,
  };
}

/** One page for an invitation that is unknown, used, replaced or expired. */
export const inviteOverPage: Page = {
  title: "This invitation has expired",
  body: html`
      <p>An invitation works once, for 24 hours, and a newer one replaces it. If you’ve already accepted it,
        <a href="/sign-in">sign in</a>. Otherwise, ask the person who invited you for a new one.</p>`,
};

/** Right after an invitation was accepted. */
export function joinedPage(offer: Html | undefined): Page {
  return {
    title: "You’ve joined the account",
    body: html`
      <p class="notice done" role="status">You can now see its agents’ requests.</p>
      ${offer}
      <p><a class="button" href="/approvals">Go to your approvals</a></p>`,
  };
}

/** `/invite` without a token. */
export const inviteMissingPage: Page = {
  title: "This invitation link is incomplete",
  body: html`
      <p>The end of the link is missing. Open the whole link from your invitation, or ask the person who invited you for a
        new one.</p>`,
};

const waitingPart = (): Html => html`
      <p class="notice"><strong>An owner of the account must agree first.</strong> They’ll find this invitation under
        Settings → Security. Come back to this page once they’ve agreed. The invitation works for 24 hours.</p>`;

const memberPart = (token: string, email: string, visitor: { email: string; tokenField: Html }): Html =>
  visitor.email === email
    ? html`
      <form method="post" action="/invite">
        ${visitor.tokenField}
        ${hiddenField("token", token)}
        <button type="submit">Accept invitation</button>
      </form>`
    : html`
      <p class="notice">You’re signed in as ${visitor.email}, and this invitation is for ${email}. Sign out, then open the link again.</p>`;

const strangerPart = (token: string, email: string, fault: Fault | undefined): Html => html`
      <h2>If you’re new here</h2>
      <form method="post" action="/invite">
        ${hiddenField("token", token)}
        ${passwordField(email, {
          name: "password",
          label: "Choose a password",
          autocomplete: "new-password",
          hint: `At least ${PASSWORD_AT_LEAST} characters.`,
          fault,
        })}
        <button type="submit">Accept and sign in</button>
      </form>
      <h2>If you already have an account here</h2>
      <p>Sign in with ${email}. Your password stays the same.</p>
      <p><a class="button second" href="/sign-in?return_to=${encodeURIComponent(`/invite?token=${token}`)}">Sign in to accept</a></p>`;

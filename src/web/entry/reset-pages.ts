import { html } from "../../lib/html.ts";
import { PASSWORD_AT_LEAST } from "../../sign-in/service.ts";
import { type Fault, faultSummary, field, hiddenField, passwordField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";

/** Where people ask for a new password. */
export const resetPage: Page = {
  title: "Reset your password",
  body: html`
      <p>Enter the email you sign in with. We’ll send you a link to choose a new password.</p>
      <form method="post" action="/reset">
        ${field({ name: "email", label: "Email", type: "email", autocomplete: "username", maxLength: 254 })}
        <button type="submit">Send link</button>
      </form>
      <p><a href="/sign-in">Back to sign-in</a></p>`,
};

/** The answer to every request: the same whether or not the email is known. */
export const resetAskedPage: Page = {
  title: "Check your email",
  body: html`
      <p>If that email has an account here, we’ve sent it a link. The link works once and expires after an hour.</p>
      <p class="quiet">No email after a few minutes? Check your spam folder, or contact the operator of this service.</p>`,
};

/** Where the link leads: the page that lets one choose. */
export function newPasswordPage(token: string, email: string, fault?: Fault): Page {
  return {
    title: "Choose a new password",
    body: html`
      ${faultSummary(fault)}
      <form method="post" action="/reset/new">
        ${hiddenField("token", token)}
        ${passwordField(email, {
          name: "password",
          label: "New password",
          autocomplete: "new-password",
          hint: `At least ${PASSWORD_AT_LEAST} characters. You’ll be signed out everywhere.`,
          fault,
        })}
        <button type="submit">Set new password</button>
      </form>
      <p class="quiet">Opening this page doesn’t use up the link.</p>`,
  };
}

export const resetOverPage: Page = {
  title: "This link has expired",
  body: html`
      <p>A password reset link works once, for an hour. <a href="/reset">Get a new link</a>.</p>`,
};

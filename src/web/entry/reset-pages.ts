import { html } from "../../lib/html.ts";
import { PASSWORD_AT_LEAST, PASSWORD_AT_MOST } from "../../sign-in/service.ts";
import { type Fault, faultSummary, field, hiddenField, passwordField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";

/** Where people ask for a new password. */
export const resetPage: Page = {
  title: "A new password",
  body: html`
      <p>Say which e-mail you sign in with, and a link to choose a new password is mailed to it.</p>
      <form method="post" action="/reset">
        ${field({ name: "email", label: "E-mail", type: "email", autocomplete: "username", maxLength: 254 })}
        <button type="submit">Mail me a link</button>
      </form>
      <p><a href="/sign-in">Back to sign-in</a></p>`,
};

/** The answer to whoever asks: the same whether or not the e-mail is known. */
export const resetAskedPage: Page = {
  title: "Look into your mail",
  body: html`
      <p>If somebody signs in here with that e-mail, a link is on its way. It works once, within an hour.</p>
      <p class="quiet">Nothing after some minutes? Look among the spam, or ask the operator of this service.</p>`,
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
          hint: `At least ${PASSWORD_AT_LEAST} characters. You will be signed out everywhere.`,
          minLength: PASSWORD_AT_LEAST,
          maxLength: PASSWORD_AT_MOST,
          fault,
        })}
        <button type="submit">Set the password</button>
      </form>
      <p class="quiet">Opening this page has not used the link up.</p>`,
  };
}

export const resetOverPage: Page = {
  title: "This link is over",
  body: html`
      <p>A link for a new password works once and for an hour. <a href="/reset">Ask for another one</a>.</p>`,
};

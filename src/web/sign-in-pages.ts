import { html } from "../lib/html.ts";
import { type Fault, faultSummary, field, hiddenField, notice } from "./forms.ts";
import type { Page } from "./layout.ts";

const NOTICES: Record<string, string> = {
  reset: "Your new password is set. Sign in with it.",
  "signed-out": "You are signed out.",
};

/** Where people sign in. `said` names one of the notices; unknown ones show nothing. */
export function signInPage({
  email,
  returnTo,
  said,
  fault,
}: {
  email?: string;
  returnTo: string;
  said?: string | undefined;
  fault?: Fault;
}): Page {
  return {
    title: "Sign in",
    body: html`
      ${notice(said === undefined ? undefined : NOTICES[said])}
      ${faultSummary(fault)}
      <form method="post" action="/sign-in">
        ${hiddenField("return_to", returnTo)}
        ${field({
          name: "email",
          label: "E-mail",
          type: "email",
          autocomplete: "username",
          maxLength: 254,
          ...(email === undefined ? {} : { value: email }),
        })}
        ${field({
          name: "password",
          label: "Password",
          type: "password",
          autocomplete: "current-password",
          maxLength: 128,
          fault,
        })}
        <button type="submit">Sign in</button>
      </form>
      <p class="quiet">No password yet? See <a href="/sign-up">how people come in</a>. Lost it?
        <a href="/reset">Ask for a new one</a>.</p>`,
  };
}

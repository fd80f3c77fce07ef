import { html } from "../../lib/html.ts";
import { banner, type Fault, faultSummary, field, hiddenField, passwordField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { PASSKEY_SCRIPT } from "../kit/presence.ts";

const BANNERS: Record<string, string> = {
  reset: "Your password has been changed. Sign in with the new one.",
  "signed-out": "You’ve been signed out.",
  "session-ended":
    "You were signed out: your session has ended, or this browser missed its renewal. Sign in to continue. If your last request got no answer, you'll see what became of it.",
};

/** Where people sign in. `said` names one of the banners; unknown ones show nothing. */
export function signInPage({
  email,
  returnTo,
  said,
  fault,
  passkeys,
}: {
  email?: string;
  returnTo: string;
  said?: string | undefined;
  fault?: Fault;
  /** Whether there can be passkeys here. */
  passkeys: boolean;
}): Page {
  return {
    title: "Sign in",
    ...(returnTo.startsWith("/approvals/") && { preview: "Approval request" }),
    ...(passkeys && PASSKEY_SCRIPT),
    body: html`
      ${banner(said === undefined ? undefined : BANNERS[said])}
      ${faultSummary(fault)}
      <form method="post" action="/sign-in">
        ${hiddenField("return_to", returnTo)}
        ${field({
          name: "email",
          label: "Email",
          type: "email",
          autocomplete: passkeys ? "username webauthn" : "username",
          maxLength: 254,
          ...(email === undefined ? {} : { value: email }),
        })}
        ${passwordField(undefined, {
          name: "password",
          label: "Password",
          autocomplete: "current-password",
          fault,
        })}
        <button type="submit">Sign in</button>
      </form>
      ${
        passkeys &&
        html`<form class="scripted" method="post" action="/sign-in/passkey" data-passkey="get" data-options="/sign-in/passkey/options" data-autofill>
        ${hiddenField("return_to", returnTo)}
        ${hiddenField("credential", "")}
        <button class="second" id="passkey" type="submit" disabled>Sign in with a passkey</button>
        <p class="quiet passkey-said" role="status"></p>
      </form>`
      }
      <p class="quiet">New here? <a href="/sign-up">How to get an account</a> · <a href="/reset">Forgot your password?</a></p>`,
  };
}

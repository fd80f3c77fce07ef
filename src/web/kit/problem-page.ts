import { html } from "../../lib/html.ts";
import type { Problem } from "../../lib/problems.ts";
import type { Page } from "./layout.ts";
import { notFoundPage } from "./pages.ts";

/**
 * What a person is shown when a page refuses: what happened, that nothing was done, and what to do.
 * @param request.changes whether the request was to change something, so that its outcome may be unknown
 */
export function problemPage(
  problem: Problem,
  { id: requestId, changes }: { id: string; changes: boolean },
): Page {
  switch (problem.problem) {
    case "not_found":
      return notFoundPage;
    case "form_refused":
      return {
        title: "Nothing was done",
        body: html`
      <p>This form has expired. The page may have been open for too long, or another site may have tried to send it in
        your name.</p>
      <p>Go back, reload the page and send the form again. If this keeps happening, check that the address in your browser is
        the one you were given for this service.</p>`,
      };
    case "not_permitted":
      return {
        title: "You don’t have permission to do this",
        body: html`
      <p>Nothing was done. ${problem.message}</p>`,
      };
    case "second_person_missing":
    case "second_decider_missing":
    case "last_owner":
      return {
        title: "Nothing was done",
        body: html`
      <p>${problem.message}</p>
      <p><a href="/settings/members">Go to members</a></p>`,
      };
    case "session_ended":
      return {
        title: "You’re signed out",
        body: html`
      <p>${problem.message}</p>
      <p><a href="/sign-in">Sign in</a></p>`,
      };
    case "session_replaced":
      return {
        title: "Nothing was done",
        body: html`
      <p>${problem.message}</p>
      <p>Reload the page to see the result of your last request. You may have to <a href="/sign-in">sign in again</a>.</p>`,
      };
    case "account_frozen":
    case "payments_paused":
    case "passkeys_unavailable":
    case "passkey_limit_reached":
    case "presence_expired":
    case "passkey_refused":
    case "passkey_proof_required":
    case "act_signature_required":
    case "own_passkey_required":
    case "token_limit_reached":
    case "webhook_limit_reached":
    case "webhook_disabled":
    case "feature_disabled":
      return {
        title: "Nothing was done",
        body: html`
      <p>${problem.message}</p>`,
      };
    case "no_receipt":
      return {
        title: "No receipt",
        body: html`
      <p>${problem.message}</p>
      <p><a href="/approvals">Go to your approvals</a></p>`,
      };
    case "rate_limited":
      return {
        title: "Too many attempts",
        body: html`
      <p>We limit how often this can be tried, to protect your account.
        ${waitText(problem.details?.retryAfterSeconds)}</p>`,
      };
    case "unavailable":
      return unavailablePage(changes);
    case "internal_error":
      return {
        title: "Something went wrong",
        body: html`
      <p>This is our mistake. Try again. If it happens again, contact the operator of this service and quote this number:</p>
      <p><code>${requestId}</code></p>`,
      };
    default:
      return {
        title: "This request couldn’t be read",
        body: html`
      <p>${problem.message}</p>
      <p>Nothing was done. Go back, reload the page and try again.</p>`,
      };
  }
}

function unavailablePage(changes: boolean): Page {
  return changes
    ? {
        title: "We’re temporarily unavailable",
        body: html`
      <p>Wait a minute, then go back and reload the page. It shows whether your last request went through.</p>
      <p><a href="/approvals">Go to your approvals</a></p>`,
      }
    : {
        title: "We’re temporarily unavailable. Nothing was charged.",
        body: html`
      <p>Wait a minute, then try again.</p>`,
      };
}

function waitText(seconds: unknown): string {
  if (typeof seconds !== "number") return "Try again later.";
  const minutes = Math.ceil(seconds / 60);
  return minutes <= 1 ? "Try again in a minute." : `Try again in ${minutes} minutes.`;
}

import { html } from "../../lib/html.ts";
import type { Problem } from "../../lib/problems.ts";
import type { Page } from "./layout.ts";
import { notFoundPage } from "./pages.ts";

/** What a person is shown when a page refuses: what happened, that nothing was done, and what to do. */
export function problemPage(problem: Problem, requestId: string): Page {
  switch (problem.problem) {
    case "not_found":
      return notFoundPage;
    case "form_refused":
      return {
        title: "Nothing was done",
        body: html`
      <p>This form did not come from a current page of this site: the page may have been open for long, or another
        site may have tried to send it in your name.</p>
      <p>Go back, load the page again, and send it from there. If it happens every time, check that you use the
        address that this service was set up with.</p>`,
      };
    case "not_permitted":
      return {
        title: "This is not yours to do",
        body: html`
      <p>Nothing was done. ${problem.message}</p>`,
      };
    case "second_person_missing":
    case "last_owner":
      return {
        title: "Nothing was done",
        body: html`
      <p>${problem.message}</p>
      <p><a href="/settings/members">Members</a></p>`,
      };
    case "session_ended":
      return {
        title: "You are signed out",
        body: html`
      <p>${problem.message}</p>
      <p><a href="/sign-in">Sign in</a></p>`,
      };
    case "session_replaced":
      return {
        title: "Nothing was done",
        body: html`
      <p>${problem.message}</p>
      <p>Open the page again to see what became of your last request. If it asks you to, <a href="/sign-in">sign in again</a>.</p>`,
      };
    case "account_frozen":
    case "payments_paused":
    case "passkeys_unavailable":
    case "passkey_limit_reached":
    case "presence_lapsed":
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
        title: "There is no receipt",
        body: html`
      <p>${problem.message}</p>
      <p><a href="/approvals">All approvals</a></p>`,
      };
    case "rate_limited":
      return {
        title: "Too many attempts",
        body: html`
      <p>To keep others from guessing, there is a limit to how often this can be tried.
        ${waitText(problem.details?.retryAfterSeconds)}</p>`,
      };
    case "unavailable":
      return {
        title: "One moment, please",
        body: html`
      <p>The service cannot answer just now. Nothing was lost; try again shortly.</p>`,
      };
    case "internal_error":
      return {
        title: "Something went wrong",
        body: html`
      <p>That was not your fault. Try again; if it happens again, report it with this number:</p>
      <p><code>${requestId}</code></p>`,
      };
    default:
      return {
        title: "This cannot be read",
        body: html`
      <p>${problem.message}</p>
      <p>Nothing was done. Go back, load the page again, and send it from there.</p>`,
      };
  }
}

function waitText(seconds: unknown): string {
  if (typeof seconds !== "number") return "Try again later.";
  const minutes = Math.ceil(seconds / 60);
  return minutes <= 1 ? "Try again in a minute." : `Try again in ${minutes} minutes.`;
}

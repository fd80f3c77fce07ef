import { type Html, html } from "../../lib/html.ts";
import type { Problem } from "../../lib/problems.ts";
import type { Page } from "./layout.ts";
import { notFoundPage } from "./pages.ts";

/**
 * What a person is shown when a page refuses: what happened, that nothing was done, and what to do.
 * @param request.changes whether the request was to change something, so that its outcome may be unknown
 * @param request.decides whether it was on an approval's page, and so failed before anything was recorded
 * @param request.back the address of the page that it came from
 * @param request.email of the person who is signed in
 */
export function problemPage(
  problem: Problem,
  { id: requestId, changes, decides, back, email }: Failed,
): Page {
  const again = changes && goBack(back);
  switch (problem.problem) {
    case "not_found":
      return notFoundPage(email);
    case "form_refused":
      return {
        title: "Nothing was done",
        body: html`
      <p>This form has expired. The page may have been open for too long, or another site may have tried to send it in
        your name.</p>
      <p><a href="${back}">Open the page again</a> and send the form from there. If this keeps happening, check that the address in your browser is
        the one you were given for this service.</p>`,
      };
    case "not_permitted":
      return {
        title: "You don’t have permission to do this",
        body: html`
      <p>Nothing was done. ${problem.message}</p>
      ${again || goToApprovals}`,
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
      <p><a href="${back}">Open the page again</a> to see the result of your last request. You may have to
        <a href="/sign-in">sign in again</a>.</p>`,
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
      <p>${problem.message}</p>
      ${again || goToApprovals}`,
      };
    case "no_receipt":
      return {
        title: "No receipt",
        body: html`
      <p>${problem.message}</p>
      <p><a href="/approvals/${String(problem.details?.approvalId)}">Back to the approval</a></p>`,
      };
    case "rate_limited":
      return {
        title: "Too many attempts",
        body: html`
      <p>We limit how often this can be tried, to protect your account.
        ${waitText(problem.details?.retryAfterSeconds)}${decides && " Nothing was confirmed, and nothing was charged."}</p>
      ${again || goToApprovals}`,
      };
    case "unavailable":
      return unavailablePage(changes && !decides, back);
    case "internal_error":
      return {
        title: "Something went wrong",
        body: html`
      <p>This is our mistake. Try again. If it happens again, contact the operator of this service and quote this number:</p>
      <p><code>${requestId}</code></p>
      ${again || goToApprovals}`,
      };
    default:
      return {
        title: "This request couldn’t be read",
        body: html`
      <p>${problem.message}</p>
      <p>Nothing was done. <a href="${back}">Open the page again</a> and try again.</p>`,
      };
  }
}

type Failed = { id: string; changes: boolean; decides: boolean; back: string; email?: string | undefined };

const goToApprovals = html`<p><a href="/approvals">Go to your approvals</a></p>`;
const goBack = (page: string): Html => html`<p><a href="${page}">Go back to the page</a></p>`;

function unavailablePage(uncertain: boolean, back: string): Page {
  return uncertain
    ? {
        title: "We’re temporarily unavailable",
        body: html`
      <p>Wait a minute, then <a href="${back}">open the page again</a>. It shows whether your last request went through.</p>
      ${goToApprovals}`,
      }
    : {
        title: "We’re temporarily unavailable. Nothing was charged.",
        body: html`
      <p>Wait a minute, then <a href="${back}">try again</a>.</p>`,
      };
}

function waitText(seconds: unknown): string {
  if (typeof seconds !== "number") return "Try again later.";
  const minutes = Math.ceil(seconds / 60);
  return minutes <= 1 ? "Try again in a minute." : `Try again in ${minutes} minutes.`;
}

import type { ClaimView } from "../../agent-auth/claim-service.ts";
import { claimedScopes, type Permissions } from "../../agent-auth/schemas.ts";
import { type Html, html } from "../../lib/html.ts";
import { describeScopes, SCOPE_WORDS } from "../../lib/scope-words.ts";
import { PASSWORD_AT_LEAST, PASSWORD_AT_MOST } from "../../sign-in/service.ts";
import { type Fault, faultSummary, field, hiddenField, passwordField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { named, time } from "../kit/wording.ts";

/** Who opens the page, if they are signed in. */
export type ClaimVisitor = { email: string; tokenField: Html };
/** What was typed and ticked before something was wrong with it. */
export type Filled = Permissions & { name: string };

export const UNFILLED: Filled = { paymentsWrite: false, webhooksManage: false, name: "" };

/** Who asks to be claimed, what they will be able to do, and the form, for whoever has the mailed link. */
export function claimFormPage(
  view: ClaimView,
  secret: string,
  visitor: ClaimVisitor | undefined,
  filled: Filled,
  fault?: Fault,
): Page {
  const other = visitor !== undefined && visitor.email !== view.email;
  return {
    title: "Claim your agent’s account",
    body: html`
      ${faultSummary(fault)}
      <p>An AI agent has registered an account, and has named <strong>${view.email}</strong> as the person who answers
        for it. <strong>Claim it only if you sent this agent yourself.</strong></p>
      ${whoAsks(view)}
      ${
        other
          ? html`<p class="notice wrong"><strong>You are signed in as ${visitor.email}.</strong> Only ${view.email} can claim
        this account: sign out first, then open the link in the mail again.</p>`
          : visitor === undefined && view.known
            ? signInPart(secret, view.email)
            : formPart(view, secret, visitor, filled, fault)
      }
      <p class="quiet">Opening this page has not used the link up. It works until ${time(view.expiresAt)}.</p>`,
  };
}

/** What the address shows that the agent hands out: it cannot claim, as the agent could open it as well. */
export function claimMailPage(view: ClaimView, { mailed }: { mailed: boolean }): Page {
  return {
    title: mailed ? "Open the link in your mail" : "Claiming is off here",
    body: html`
      ${
        mailed
          ? html`<p>A mail has gone to <strong>${view.email}</strong>. The link in it lets you claim the account of this agent,
        until ${time(view.expiresAt)}. Keep the six digits ready that your agent shows you.</p>
      <p>This page alone cannot claim it: whoever has its address, the agent too, could do that in your place.</p>`
          : html`<p>This service sends no mail, so it cannot make sure who you are, and nobody can claim an account here. Its
        operator can invite you as the first owner instead.</p>`
      }
      ${whoAsks(view)}
      ${mailed && html`<p class="quiet">Nothing after some minutes? Look among the spam, or let your agent start again.</p>`}`,
  };
}

const ENDED: Record<ClaimView["state"] | "unknown", string> = {
  unknown:
    "A claim lasts 30 minutes and works once, and a newer one replaces it. Ask your agent to start another.",
  unnamed: "Ask your agent to start another.",
  open: "Ask your agent to start another.",
  guessed: "Five wrong codes were typed, so it has ended. If that was you, ask your agent to start another.",
  expired: "A claim lasts 30 minutes. Ask your agent to start another.",
  window_over: "Nobody has claimed the account within 24 hours. Ask your agent to register again.",
  claimed: "The account has been claimed. If you did that, sign in.",
  taken: "The account has an owner, who came by an invitation. If that is you, sign in.",
};

/** One page for every claim that cannot be made any more. */
export function claimOverPage(state: ClaimView["state"] | "unknown"): Page {
  return {
    title: "This claim is over",
    body: html`
      <p>${ENDED[state]}</p>
      <p><a href="/sign-in">Sign in</a>, or read <a href="/claim">how accounts are claimed</a>.</p>`,
  };
}

/** `/claim`, when nobody brings a token: where a refusal's `claimUrl` leads. */
export function claimPage({ mailed }: { mailed: boolean }): Page {
  return {
    title: "Claim an account",
    body: html`
      <p>An agent can register an account by itself, but only a person can answer for it. Until somebody has claimed the
        account, no agent of it can ask for money to move. There are two ways.</p>
      <h2>Your agent has registered the account</h2>
      ${
        mailed
          ? html`<ol>
        <li>Tell your agent your e-mail address. It starts the claim, and shows you six digits.</li>
        <li>Open the link in the mail that we send to you then.</li>
        <li>Type the six digits, and say what the agent may do.</li>
      </ol>`
          : html`<p class="notice">This service sends no mail, so it cannot make sure who you are: this way is closed here.</p>`
      }
      <h2>The operator of this service has made the account</h2>
      <p>Ask the operator to invite you as its first owner. Accepting the invitation claims the account.</p>`,
  };
}

/** Right after a claim. */
export const claimedPage: Page = {
  title: "The account is yours",
  body: html`
      <p class="notice done" role="status"><strong>You are its owner now.</strong> Your agent has what you gave it the next
        time it asks. Until then you can take it back under <a href="/settings/keys">API keys</a>. Whatever it held before has
        ended.</p>
      <h2>What comes next</h2>
      <ul>
        <li><a href="/billing">Put a card on file</a>, so that what your agent asks for can be paid.</li>
        <li>What it asks for waits for you under <a href="/approvals">Approvals</a>.</li>
        <li>Change what agents may do under <a href="/settings/keys">API keys</a>.</li>
      </ul>`,
};

function whoAsks({ agentName, accountName, registeredAt, address, userAgent }: ClaimView): Html {
  return html`<dl class="terms">
        <div>
          <dt>Agent</dt>
          <dd>${agentName === null ? "It gave no name" : html`“${named(agentName)}”`}
            <span class="quiet">What it calls itself. Nobody has checked that.</span></dd>
        </div>
        <div>
          <dt>Account</dt>
          <dd>“${named(accountName)}”
            <span class="quiet">The agent named it.</span></dd>
        </div>
        <div>
          <dt>Since</dt>
          <dd>${time(registeredAt)}</dd>
        </div>
        <div>
          <dt>From</dt>
          <dd>${address}
            ${userAgent !== "" && html`<span class="quiet">by a program that says it is “${named(userAgent)}”</span>`}</dd>
        </div>
      </dl>`;
}

function signInPart(secret: string, email: string): Html {
  return html`<p>You sign in with ${email} already.</p>
      <p><a class="button" href="/sign-in?return_to=${encodeURIComponent(`/claim?token=${secret}`)}">Sign in to claim it</a></p>`;
}

function formPart(
  { email }: ClaimView,
  secret: string,
  visitor: ClaimVisitor | undefined,
  filled: Filled,
  fault: Fault | undefined,
): Html {
  return html`<form method="post" action="/claim">
        ${visitor?.tokenField}
        ${hiddenField("token", secret)}
        <h2>What it will be able to do</h2>
        <p>It may ${describeScopes(claimedScopes(UNFILLED))}. It can never confirm a payment, or bring in people who can.</p>
        <fieldset>
          <legend>Only if you tick it</legend>
          ${box("payments_write", "payments:write", filled.paymentsWrite)}
          ${box("webhooks_manage", "webhooks:manage", filled.webhooksManage)}
        </fieldset>
        <h2>Claim it</h2>
        ${field({
          name: "code",
          label: "The six digits that your agent shows you",
          type: "text",
          autocomplete: "off",
          digits: true,
          hint: "After five wrong ones the claim ends. Never type digits that somebody else sent you.",
          maxLength: 20,
          fault,
        })}
        ${visitor === undefined ? newPersonPart(email, filled.name, fault) : null}
        <button type="submit">Claim the account</button>
      </form>`;
}

function newPersonPart(email: string, name: string, fault: Fault | undefined): Html {
  return html`${field({
    name: "name",
    label: "Your name",
    type: "text",
    autocomplete: "name",
    hint: "The agent and the other people of the account see it.",
    value: name,
    maxLength: 200,
    fault,
  })}
        ${passwordField(email, {
          name: "password",
          label: "Choose a password",

          autocomplete: "new-password",
          hint: `At least ${PASSWORD_AT_LEAST} characters. You sign in with ${email}.`,
          minLength: PASSWORD_AT_LEAST,
          maxLength: PASSWORD_AT_MOST,
          fault,
        })}`;
}

function box(name: string, scope: "payments:write" | "webhooks:manage", ticked: boolean): Html {
  return html`<label class="check"><input type="checkbox" name="${name}" value="yes"${ticked && " checked"}>
          <span>${SCOPE_WORDS[scope]} <code>${scope}</code></span></label>`;
}

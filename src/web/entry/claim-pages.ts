import type { ClaimView } from "../../agent-auth/claim-service.ts";
import { claimedScopes, type Permissions } from "../../agent-auth/schemas.ts";
import { type Html, html } from "../../lib/html.ts";
import { describeScopes, SCOPE_WORDS } from "../../lib/scope-words.ts";
import { PASSWORD_AT_LEAST } from "../../sign-in/service.ts";
import { type Fault, faultSummary, field, hiddenField, passwordField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { named, time } from "../kit/wording.ts";

/** Who opens the page, if they are signed in. */
export type ClaimVisitor = { email: string; tokenField: Html };
/** What was typed and ticked before something was wrong with it. */
export type Filled = Permissions & { name: string };

export const UNFILLED: Filled = { paymentsWrite: false, webhooksManage: false, name: "" };

/** The agent, what it will be able to do, and the form, for the person with the mailed link. */
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
      <p>An AI agent has registered an account and named <strong>${view.email}</strong> as the person responsible for
        it. <strong>Claim it only if you set up this agent yourself.</strong></p>
      ${whoAsks(view)}
      ${
        other
          ? html`<p class="notice wrong"><strong>You’re signed in as ${visitor.email}.</strong> Only ${view.email} can claim
        this account. Sign out, then open the link in the email again.</p>`
          : visitor === undefined && view.known
            ? signInPart(secret, view.email)
            : formPart(view, secret, visitor, filled, fault)
      }
      <p class="quiet">Opening this page doesn’t use up the link. It works until ${time(view.expiresAt)}.</p>`,
  };
}

/** What the address shows that the agent hands out: it cannot claim, as the agent could open it as well. */
export function claimMailPage(view: ClaimView, { mailed }: { mailed: boolean }): Page {
  return {
    title: mailed ? "Check your email" : "Accounts can’t be claimed here",
    body: html`
      ${
        mailed
          ? html`<p>We’ve sent an email to <strong>${view.email}</strong>. Use the link in it to claim this agent’s account, by
        ${time(view.expiresAt)}. You’ll need the six-digit code that your agent shows you.</p>
      <p>You can’t claim the account from this page, because your agent has its address too.</p>`
          : html`<p>This service doesn’t send email, so it can’t verify who you are. Ask its operator to invite you as the first
        owner instead.</p>`
      }
      ${whoAsks(view)}
      ${mailed && html`<p class="quiet">No email after a few minutes? Check your spam folder, or ask your agent to start again.</p>`}`,
  };
}

const ENDED: Record<ClaimView["state"] | "unknown", string> = {
  unknown:
    "A claim link works once, for 30 minutes, and a newer one replaces it. Ask your agent to start a new claim.",
  unnamed: "Ask your agent to start a new claim.",
  open: "Ask your agent to start a new claim.",
  guessed:
    "Five wrong codes were entered, so this claim has ended. If that was you, ask your agent to start a new claim.",
  expired: "A claim link works for 30 minutes. Ask your agent to start a new claim.",
  window_over: "The account wasn’t claimed within 24 hours. Ask your agent to register again.",
  claimed: "This account has already been claimed. If you claimed it, sign in.",
  taken: "This account already has an owner, who joined by invitation. If that’s you, sign in.",
};

/** One page for every claim that cannot be made any more. */
export function claimOverPage(state: ClaimView["state"] | "unknown"): Page {
  return {
    title: "This link has expired",
    body: html`
      <p>${ENDED[state]}</p>
      <p><a href="/sign-in">Sign in</a> · <a href="/claim">How to claim an account</a></p>`,
  };
}

/** `/claim` without a token: the `claimUrl` of a refusal. */
export function claimPage({ mailed }: { mailed: boolean }): Page {
  return {
    title: "Claim an account",
    body: html`
      <p>An agent can register an account, but a person must claim it. Until then, its agents can’t request payments. There are
        two ways to claim an account.</p>
      <h2>Your agent has registered the account</h2>
      ${
        mailed
          ? html`<ol>
        <li>Give your agent your email address. It starts the claim and shows you a six-digit code.</li>
        <li>Open the link in the email that we send you.</li>
        <li>Enter the code and choose what the agent may do.</li>
      </ol>`
          : html`<p class="notice">This service doesn’t send email, so you can’t claim an account this way here.</p>`
      }
      <h2>The operator of this service has created the account</h2>
      <p>Ask the operator to invite you as its first owner. Accepting the invitation claims the account.</p>`,
  };
}

/** Right after a claim. */
export const claimedPage = (offer: Html | undefined): Page => ({
  title: "You’ve claimed the account",
  body: html`
      <p class="notice done" role="status"><strong>You’re now its owner.</strong> Your agent will pick up its new API key
        the next time it asks. Until then you can withdraw the key under <a href="/settings/keys">API keys</a>. The agent’s earlier
        key no longer works.</p>
      ${offer}
      <h2>What to do next</h2>
      <ul>
        <li><a href="/billing">Add a card</a> to fund your agent’s requests.</li>
        <li>Confirm or decline requests under <a href="/approvals">Approvals</a>.</li>
        <li>Change what agents may do under <a href="/settings/keys">API keys</a>.</li>
      </ul>`,
});

function whoAsks({ agentName, accountName, registeredAt, address, userAgent }: ClaimView): Html {
  return html`<dl class="terms">
        <div>
          <dt>Agent</dt>
          <dd>${agentName === null ? "Unnamed" : html`“${named(agentName)}”`}
            <span class="quiet">The agent chose this name. It isn’t verified.</span></dd>
        </div>
        <div>
          <dt>Account</dt>
          <dd>“${named(accountName)}”
            <span class="quiet">The agent chose this name.</span></dd>
        </div>
        <div>
          <dt>Registered</dt>
          <dd>${time(registeredAt)}</dd>
        </div>
        <div>
          <dt>From</dt>
          <dd>${address}
            ${userAgent !== "" && html`<span class="quiet">by a program that calls itself “${named(userAgent)}”</span>`}</dd>
        </div>
      </dl>`;
}

function signInPart(secret: string, email: string): Html {
  return html`<p>${email} already has an account here.</p>
      <p><a class="button" href="/sign-in?return_to=${encodeURIComponent(`/claim?token=${secret}`)}">Sign in to claim the account</a></p>`;
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
        <h2>What your agent may do</h2>
        <p>It may ${describeScopes(claimedScopes(UNFILLED))}. It can never confirm a payment or invite people who can.</p>
        <fieldset>
          <legend>Only if you allow it</legend>
          ${box("payments_write", "payments:write", filled.paymentsWrite)}
          ${box("webhooks_manage", "webhooks:manage", filled.webhooksManage)}
        </fieldset>
        <h2>Claim the account</h2>
        ${field({
          name: "code",
          label: "Six-digit code from your agent",
          type: "text",
          autocomplete: "off",
          digits: true,
          hint: "After five wrong codes the claim ends. Never enter a code that someone else sent you.",
          maxLength: 20,
          fault,
        })}
        ${visitor === undefined ? newPersonPart(email, filled.name, fault) : null}
        <button type="submit">Claim account</button>
      </form>`;
}

function newPersonPart(email: string, name: string, fault: Fault | undefined): Html {
  return html`${field({
    name: "name",
    label: "Your name",
    type: "text",
    autocomplete: "name",
    hint: "Shown to your agent and to the account’s other members.",
    value: name,
    maxLength: 200,
    fault,
  })}
        ${passwordField(email, {
          name: "password",
          label: "Choose a password",
          autocomplete: "new-password",
          hint: `At least ${PASSWORD_AT_LEAST} characters. You sign in with ${email}.`,
          fault,
        })}`;
}

function box(name: string, scope: "payments:write" | "webhooks:manage", ticked: boolean): Html {
  return html`<label class="check"><input type="checkbox" name="${name}" value="yes"${ticked && " checked"}>
          <span>${SCOPE_WORDS[scope]} <code>${scope}</code></span></label>`;
}

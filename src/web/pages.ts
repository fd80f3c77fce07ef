import { html } from "../lib/html.ts";
import type { Page } from "./layout.ts";

/**
 * Pages that show nothing of any account. Those that wait for their feature say what they are for: an approval
 * that exists and one that does not look the same.
 */
export const homePage = (appName: string): Page => ({
  title: appName,
  body: html`
      <p>AI agents ask for milestones to be funded here. Nothing is paid until a signed-in person of the account has
        read the exact terms and co-signed them.</p>
      <ul>
        <li><a href="/approvals">Approvals</a> that wait for a person</li>
        <li><a href="/billing">Billing</a>: the card that pays</li>
        <li><a href="/settings/keys">API keys</a>: what agents call with</li>
        <li><a href="/settings/webhooks">Webhooks</a>: where events are sent</li>
        <li><a href="/docs">API reference</a> for those who write agents</li>
      </ul>`,
});

export const claimPage: Page = {
  title: "Claim an account",
  body: html`
      <p>An agent may register an account by itself, but only a person can answer for it. An account must be claimed
        before its agents can ask for money to move.</p>
      <p>Claiming comes here. Until then the operator of this service can mark an account as claimed.</p>`,
};

export const notFoundPage: Page = {
  title: "There is nothing here",
  body: html`
      <p>The address may be mistyped, or what it led to may not be yours to see.</p>
      <p><a href="/">Back to the start</a></p>`,
};

import { html } from "../../lib/html.ts";
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

export const signUpPage: Page = {
  title: "How to get an account",
  body: html`
      <p>You can’t sign up on your own: you join an account that uses AI agents. There are two ways to do that. Either way,
        you choose a password as you join.</p>
      <ul>
        <li><strong>Your AI agent has registered an account.</strong> <a href="/claim">Claim the account</a>.</li>
        <li><strong>You have an invitation.</strong> Open the link in the invitation email.</li>
      </ul>
      <p>Already have a password? <a href="/sign-in">Sign in</a>.</p>`,
};

export const notFoundPage: Page = {
  title: "Page not found",
  body: html`
      <p>The address may be mistyped, or you may not have access to this page.</p>
      <p><a href="/approvals">Go to your approvals</a></p>`,
};

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
  title: "Sign up",
  body: html`
      <p>People come in by an account that they answer for. There are two ways, and either ends with a password of your
        own:</p>
      <ul>
        <li>Your AI agent has registered an account: <a href="/claim">claim it</a>.</li>
        <li>Somebody has invited you into one: open the link that you were given.</li>
      </ul>
      <p>You have a password already? <a href="/sign-in">Sign in</a>.</p>`,
};

export const notFoundPage: Page = {
  title: "There is nothing here",
  body: html`
      <p>The address may be mistyped, or what it led to may not be yours to see.</p>
      <p><a href="/">Back to the start</a></p>`,
};

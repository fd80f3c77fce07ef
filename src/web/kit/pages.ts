import { type Html, html } from "../../lib/html.ts";
import type { Page } from "./layout.ts";

/** For strangers: what this is, in words and as a drawing. A signed-in person is sent to their approvals instead. */
export const homePage = (appName: string): Page => ({
  title: appName,
  heading: html`Your AI agent asks. You confirm. Then the money moves, once.`,
  body: html`
      <p>${appName} lets AI agents request payments without being able to make them. You see exactly what will be paid and to
        whom, and nothing is charged until you confirm it.</p>
      <ol class="story">
        <li>${drawing(AGENT)}<strong>An agent asks</strong> It requests funding for a milestone, with an API key that can’t
          confirm anything.</li>
        <li>${drawing(PERSON)}<strong>You confirm</strong> You read the exact terms and confirm with a passkey or your
          password, or decline.</li>
        <li>${drawing(MONEY)}<strong>The money moves once</strong> Your card is charged one time, the money is held in escrow,
          and you get a signed receipt.</li>
      </ol>
      <p class="choices">
        <a class="button" href="/sign-in">Sign in</a>
        <a class="button second" href="/sign-up">How to get an account</a>
      </p>
      <p class="quiet">Building an agent? Read the <a href="/docs">API reference</a>.</p>`,
});

const AGENT = html`<rect x="9" y="17" width="30" height="22" rx="5"/><path d="M24 17v-7M5 26v5M43 26v5M19 33h10"/><circle cx="24" cy="8" r="2"/><circle cx="18" cy="26" r="2"/><circle cx="30" cy="26" r="2"/>`;
const PERSON = html`<circle cx="18" cy="14" r="7"/><path d="M5 40v-3c0-7 5-12 13-12 3 0 6 1 8 2M27 35l6 6 11-13"/>`;
const MONEY = html`<rect x="4" y="12" width="40" height="26" rx="4"/><path d="M4 20h40M10 31h8"/><circle cx="35" cy="31" r="3"/>`;

/** A line drawing beside the words that say the same. */
function drawing(lines: Html): Html {
  return html`<svg viewBox="0 0 48 48" width="48" height="48" aria-hidden="true">${lines}</svg>`;
}

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

/** The same for what is not there and for what is another account's. @param email of the person who is signed in */
export const notFoundPage = (email?: string): Page => ({
  title: "Page not found",
  body: html`
      <p>The address may be mistyped, or you may not have access to this page.</p>
      ${email !== undefined && html`<p>You’re signed in as <strong>${email}</strong>. If you use another email for this, sign out, then open the link again.</p>`}
      <p><a href="/approvals">Go to your approvals</a></p>`,
});

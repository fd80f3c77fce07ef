import { ACTIVE_TOKENS_AT_MOST, type Key, type MintedToken } from "../../../accounts/token-service.ts";
import type { WaitingGrant } from "../../../agent-auth/grant-service.ts";
import { type Html, html } from "../../../lib/html.ts";
import { brief } from "../../../lib/names.ts";
import { describeScopes, SCOPE_WORDS } from "../../../lib/scope-words.ts";
import type { Human } from "../../../sign-in/gate.ts";
import type { Webhook } from "../../../webhooks/schemas.ts";
import { choice, type Fault, faultSummary, field, hiddenField, notice } from "../../kit/forms.ts";
import type { Page } from "../../kit/layout.ts";
import { presenceField } from "../../kit/presence.ts";
import { mentioned, named, standsBehind, time } from "../../kit/wording.ts";
import { madeWebhooks } from "../webhooks/webhook-pages.ts";

export const KEYS = "/settings/keys";
export const NAME_AT_MOST = 120;
export const ENDED_SHOWN = 5;

/** How long a key lasts, as the form sends it. */
export const LIFETIMES = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "A year"],
  ["none", "Until it is revoked"],
] as const;

/** What the form to make a key holds, when it is shown again. */
export type KeyDraft = { name: string; scopes: readonly string[]; lifetime: string };
const EMPTY: KeyDraft = { name: "", scopes: ["payments:read"], lifetime: "90" };

/** One account's part of the page. */
export type KeySection = {
  accountId: string;
  accountName: string;
  keys: readonly Key[];
  /** What a claim has let an agent do that has not fetched its key yet. */
  waiting: WaitingGrant | undefined;
  /** What makes the form; absent for a viewer. */
  making: { tokenId: string; formToken: string; draft?: KeyDraft | undefined } | undefined;
};

const NOTICES: Record<string, string> = {
  refused: "It is refused: the agent gets no key by the claim. Make one here when it should have one.",
  fetched:
    "There is nothing to refuse any more. If the agent was quicker, its key is among those below: revoke it.",
  revoked: "The key is revoked. Whatever calls with it is refused from now on.",
};

/** The ids of the form's fields, of which each account has its own. */
export const keyFields = (accountId: string) => ({
  name: `name-${accountId}`,
  scopes: `scopes-${accountId}`,
  password: `password-${accountId}`,
});

/** `/settings/keys`: what the account's agents call with, and one more (CONTRACT.md §6, §7). */
export function keysPage(
  human: Human,
  sections: readonly KeySection[],
  { said, fault }: { said?: string | undefined; fault?: Fault | undefined } = {},
): Page {
  return {
    title: "API keys",
    body: html`
      ${notice(said === undefined ? undefined : NOTICES[said])}
      ${faultSummary(fault)}
      <p>An agent calls with a key, and may do what the key says. No key can confirm a payment: that takes a person.</p>
      ${sections.map((section) => account(human, section, sections.length > 1, fault))}`,
  };
}

function account(human: Human, section: KeySection, several: boolean, fault: Fault | undefined): Html {
  const { accountName, keys, waiting, making } = section;
  const heading = (text: string): Html => (several ? html`<h3>${text}</h3>` : html`<h2>${text}</h2>`);
  const active = keys.filter(({ status }) => status === "active");
  const ended = keys.filter(({ status }) => status !== "active");
  const full = active.length >= ACTIVE_TOKENS_AT_MOST;
  return html`${several && html`<h2>${mentioned(accountName)}</h2>`}
      ${waiting && html`${heading("Not fetched yet")}<ul class="rows">${waitingRow(section, waiting)}</ul>`}
      ${heading("Keys in use")}
      ${active.length === 0 ? html`<p>None yet.</p>` : html`<ul class="rows">${active.map((key) => row(key, making !== undefined))}</ul>`}
      ${making === undefined && html`<p class="quiet">Owners and approvers make and revoke keys.</p>`}
      ${making !== undefined && heading("Make a key")}
      ${making !== undefined && (full ? html`<p>An account may have ${ACTIVE_TOKENS_AT_MOST}. Revoke one to make another.</p>` : makeForm(human, section, making, fault))}
      ${ended.length > 0 && html`${heading("Ended lately")}<ul class="rows">${ended.map(endedRow)}</ul>`}`;
}

function waitingRow({ accountId, making }: KeySection, { agentName, scopes, until }: WaitingGrant): Html {
  return html`
        <li class="choices stacked">
          <p><strong>${agentOf(agentName)}</strong>
            ${agentName !== null && html`<span class="quiet">What it calls itself. Nobody has checked that.</span>`}
            <span>A key waits for it to fetch, from when the account was claimed. It will be able to ${describeScopes(scopes)}.</span>
            <span class="quiet">It may fetch it until ${time(until)}</span></p>
          ${making !== undefined && html`<a class="button second" href="${refusePath(accountId)}" aria-label="Refuse it: the key of ${agentName === null ? "the agent" : brief(agentName)}">Refuse it</a>`}
        </li>`;
}

function agentOf(agentName: string | null): Html | string {
  return agentName === null ? "An agent without a name" : mentioned(agentName);
}

function refusePath(accountId: string): string {
  return `${KEYS}/waiting/${accountId}/refuse`;
}

function row(key: Key, manages: boolean): Html {
  const { id, name, preview, scopes, lastUsedAt, expiresAt, createdAt } = key;
  return html`
        <li class="choices stacked">
          <p><strong>${mentioned(name)}</strong> <code>${preview}</code>
            <span>It may ${describeScopes(scopes)}.</span>
            <span class="quiet">Made ${time(new Date(createdAt))}${maker(key)}</span>
            ${key.asker.namedItself && html`<span class="quiet">Chosen by an agent: ${standsBehind(key.asker)}</span>`}
            <span class="quiet">${lastUsedAt === null ? "Never used" : html`Last used ${time(new Date(lastUsedAt))}`}.
              ${expiresAt === null ? "Lasts until it is revoked" : html`Ends ${time(new Date(expiresAt))}`}</span></p>
          ${manages && html`<a class="button second" href="${KEYS}/${id}/revoke" aria-label="Revoke the key ${brief(name)}">Revoke</a>`}
        </li>`;
}

function maker({ minterUser, minterToken }: Key): Html | undefined {
  if (minterUser !== null) return html` by ${mentioned(minterUser)}`;
  if (minterToken !== null) return html` by the key ${mentioned(minterToken)}`;
  return undefined;
}

function endedRow({ name, preview, status, revokedAt, expiresAt, asker }: Key): Html {
  const at = revokedAt ?? expiresAt;
  return html`
        <li>
          ${mentioned(name)} <code>${preview}</code>
          ${asker.namedItself && html`<span class="quiet">${standsBehind(asker)}</span>`}
          <span class="quiet">${status === "revoked" ? "Revoked" : "Ended"} ${at !== null && time(new Date(at))}</span>
        </li>`;
}

type Making = NonNullable<KeySection["making"]>;

function makeForm(
  human: Human,
  { accountId }: KeySection,
  { tokenId, formToken, draft = EMPTY }: Making,
  fault: Fault | undefined,
): Html {
  const ids = keyFields(accountId);
  const own = fault?.field === ids.scopes ? fault : undefined;
  return html`<form method="post" action="${KEYS}/make">
        ${hiddenField("account_id", accountId)}
        ${hiddenField("token_id", tokenId)}
        ${hiddenField("form_token", formToken)}
        ${field({
          name: "name",
          id: ids.name,
          label: "Name",
          type: "text",
          autocomplete: "off",
          value: draft.name,
          hint: "Of the agent that will have it. It stands on everything that it asks for.",
          maxLength: NAME_AT_MOST,
          fault,
        })}
        <fieldset${own && html` aria-describedby="${ids.scopes}-fault"`}>
          <legend>What it may do</legend>
          ${own && html`<p class="fault" id="${ids.scopes}-fault">${own.message}</p>`}${Object.entries(
            SCOPE_WORDS,
          ).map(
            ([scope, words], i) => html`
          <label class="check"><input type="checkbox" name="scopes" value="${scope}"${i === 0 && html` id="${ids.scopes}"`}${draft.scopes.includes(scope) && " checked"}${own !== undefined && i === 0 && " autofocus"}>
            <span>${words} <code>${scope}</code></span></label>`,
          )}
        </fieldset>
        ${choice({ name: "lifetime", id: `lifetime-${accountId}`, label: "It lasts", options: LIFETIMES, value: draft.lifetime })}
        ${presenceField(human, ids.password, fault)}
        <button type="submit">Make this key</button>
      </form>`;
}

/** What is shown once: the secret of a key that is new, and what to do with it. */
export function newKeyPage({ token, metadata }: MintedToken, publicUrl: string): Page {
  const { name, scopes, expiresAt } = metadata;
  return {
    title: "The key is made",
    body: html`
      <p class="notice">Copy this now: it is not shown again.</p>
      <dl class="terms">
        <div class="wide"><dt>Key</dt><dd><code class="secret">${token}</code></dd></div>
        <div><dt>Name</dt><dd>${named(name)}</dd></div>
        <div><dt>May</dt><dd>${describeScopes(scopes)}</dd></div>
        <div><dt>Ends</dt><dd>${expiresAt === null ? "When it is revoked" : time(new Date(expiresAt))}</dd></div>
      </dl>
      <h2>Give it to your agent</h2>
      <p>Put it where the agent keeps its secrets, such as an environment variable; never into a chat, a prompt or a
        repository. The agent sends it with every call:</p>
      <p><code>Authorization: Bearer ${metadata.preview}</code></p>
      <p>The calls are at <code>${publicUrl}/api/public/v1</code>, and described in the <a href="/docs">API reference</a>. If
        somebody else may have seen the key, revoke it: that works at once.</p>
      <p><a class="button" href="${KEYS}">I have copied it</a></p>`,
  };
}

/** Asks before an agent is refused the key that it has not fetched yet. */
export function refusePage(
  accountId: string,
  { agentName, scopes, until }: WaitingGrant,
  formToken: string,
): Page {
  return {
    title: "Refuse this key?",
    body: html`
      <p>When the account was claimed, <strong>${agentOf(agentName)}</strong> was promised a key with which it may ${describeScopes(scopes)}. It
        has not fetched it yet, and may until ${time(until)}.</p>
      <p>If you refuse it, it gets none by the claim, for ever. The account stays yours, and you can make a key by hand.</p>
      <form class="choices" method="post" action="${refusePath(accountId)}">
        ${hiddenField("form_token", formToken)}
        <button type="submit">Refuse it</button>
        <a class="button second" href="${KEYS}">Let it wait</a>
      </form>`,
  };
}

/** Asks before a key is revoked. */
export function revokePage(
  { id, name, preview, scopes, lastUsedAt }: Key,
  webhooks: readonly Webhook[],
  formToken: string,
): Page {
  return {
    title: "Revoke this key?",
    body: html`
      <p>Whatever calls with <strong>${mentioned(name)}</strong> <code>${preview}</code> is refused from that moment on, and so
        is what calls with keys that this one has made. This cannot be undone.</p>
      <p>It may ${describeScopes(scopes)}. ${lastUsedAt === null ? "It was never used." : html`It was last used ${time(new Date(lastUsedAt))}.`}
        What it has asked for already stays, and still waits for a person.</p>
      <form method="post" action="${KEYS}/${id}/revoke">
        ${hiddenField("form_token", formToken)}
        ${
          webhooks.length > 0 &&
          html`<p>It has made these webhooks, by itself or with keys that it has made. They go on when it is revoked, as what listens
          may be yours:</p>
        ${madeWebhooks(webhooks, { ticked: false, says: "Delete these webhooks too: somebody else may have had the key" })}`
        }
        <div class="choices">
          <button type="submit">Revoke it</button>
          <a class="button second" href="${KEYS}">Keep it</a>
        </div>
      </form>`,
  };
}

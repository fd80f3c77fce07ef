import type { Key } from "../../../accounts/key-service.ts";
import { ACTIVE_TOKENS_AT_MOST, type MintedToken } from "../../../accounts/token-service.ts";
import type { WaitingGrant } from "../../../agent-auth/grant-service.ts";
import { type Html, html } from "../../../lib/html.ts";
import { brief } from "../../../lib/names.ts";
import { describeScopes, SCOPE_WORDS } from "../../../lib/scope-words.ts";
import type { Webhook } from "../../../webhooks/schemas.ts";
import { banner, choice, type Fault, faultSummary, field, hiddenField } from "../../kit/forms.ts";
import type { Page } from "../../kit/layout.ts";
import { type Prover, presenceField, presenceScript } from "../../kit/presence.ts";
import { headingsIn, mentioned, named, standsBehind, time } from "../../kit/wording.ts";
import { madeWebhooks } from "../webhooks/webhook-pages.ts";

export const KEYS = "/settings/keys";
export const NAME_AT_MOST = 120;
export const ENDED_SHOWN = 5;

/** How long a key lasts, as the form sends it. */
export const LIFETIMES = [
  ["30", "In 30 days"],
  ["90", "In 90 days"],
  ["365", "In a year"],
  ["none", "Never"],
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

const BANNERS: Record<string, string> = {
  refused: "You refused the key. The agent can’t get it any more. To give it one later, create a key here.",
  fetched: "Nothing was done. The agent may already have its key: if it’s listed below, you can revoke it.",
  revoked: "Key revoked. It no longer works.",
};

/** The ids of the form's fields, of which each account has its own. */
export const keyFields = (accountId: string) => ({
  name: `name-${accountId}`,
  scopes: `scopes-${accountId}`,
  password: `password-${accountId}`,
});

/** `/settings/keys`: what the account's agents call with, and one more (docs/contract.md §6, §7). */
export function keysPage(
  human: Prover,
  sections: readonly KeySection[],
  { said, fault }: { said?: string | undefined; fault?: Fault | undefined } = {},
): Page {
  return {
    title: "API keys",
    ...(sections.some(({ making }) => making !== undefined) && presenceScript(human)),
    body: html`
      ${banner(said === undefined ? undefined : BANNERS[said])}
      ${faultSummary(fault)}
      <p>Agents authenticate with an API key. Its permissions decide what they may do. No key can confirm a payment: only a
        person can.</p>
      ${sections.map((section) => account(human, section, sections.length > 1, fault))}`,
  };
}

function account(human: Prover, section: KeySection, several: boolean, fault: Fault | undefined): Html {
  const { accountName, keys, waiting, making } = section;
  const heading = headingsIn(several);
  const active = keys.filter(({ status }) => status === "active");
  const ended = keys.filter(({ status }) => status !== "active");
  const full = active.length >= ACTIVE_TOKENS_AT_MOST;
  return html`${several && html`<h2>${mentioned(accountName)}</h2>`}
      ${waiting && html`${heading("Waiting for the agent")}<ul class="rows">${waitingRow(section, waiting)}</ul>`}
      ${heading("Active keys")}
      ${active.length === 0 ? html`<p>No keys yet.</p>` : html`<ul class="rows">${active.map((key) => row(key, making !== undefined))}</ul>`}
      ${making === undefined && html`<p class="quiet">Owners and approvers can create and revoke keys.</p>`}
      ${making !== undefined && heading("Create a key")}
      ${making !== undefined && (full ? html`<p>An account can have ${ACTIVE_TOKENS_AT_MOST} active keys. Revoke one to create another.</p>` : makeForm(human, section, making, fault))}
      ${ended.length > 0 && html`${heading("Recently ended")}<ul class="rows">${ended.map(endedRow)}</ul>`}`;
}

function waitingRow({ accountId, making }: KeySection, { agentName, scopes, until }: WaitingGrant): Html {
  return html`
        <li class="choices stacked">
          <p><strong>${agentOf(agentName)}</strong>
            ${agentName !== null && html`<span class="quiet">The agent chose this name. It isn’t verified.</span>`}
            <span>You promised it a key when the account was claimed. With it, the agent may ${describeScopes(scopes)}.</span>
            <span class="quiet">The agent can collect it until ${time(until)}</span></p>
          ${making !== undefined && html`<a class="button second" href="${refusePath(accountId)}" aria-label="Refuse the key of ${agentName === null ? "the agent" : brief(agentName)}">Refuse</a>`}
        </li>`;
}

function agentOf(agentName: string | null): Html | string {
  return agentName === null ? "Unnamed agent" : mentioned(agentName);
}

function refusePath(accountId: string): string {
  return `${KEYS}/waiting/${accountId}/refuse`;
}

function row(key: Key, manages: boolean): Html {
  const { id, name, preview, scopes, lastUsedAt, expiresAt, createdAt } = key;
  return html`
        <li class="choices stacked">
          <p><strong>${mentioned(name)}</strong> <code>${preview}</code>
            <span>May ${describeScopes(scopes)}.</span>
            <span class="quiet">Created ${time(new Date(createdAt))}${maker(key)}</span>
            ${key.asker.namedItself && html`<span class="quiet">Chosen by an agent: ${standsBehind(key.asker)}</span>`}
            <span class="quiet">${lastUsedAt === null ? "Never used" : html`Last used ${time(new Date(lastUsedAt))}`}.
              ${expiresAt === null ? "No expiry date" : html`Expires ${time(new Date(expiresAt))}`}</span></p>
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
          <span class="quiet">${status === "revoked" ? "Revoked" : "Expired"} ${at !== null && time(new Date(at))}</span>
        </li>`;
}

type Making = NonNullable<KeySection["making"]>;

function makeForm(
  human: Prover,
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
          hint: "Name the agent that will use it. The name appears on each of its requests.",
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
        ${choice({ name: "lifetime", id: `lifetime-${accountId}`, label: "Expires", options: LIFETIMES, value: draft.lifetime })}
        ${presenceField(human, ids.password, fault)}
        <button type="submit">Create key</button>
      </form>`;
}

/** What is shown once: the secret of a key that is new, and what to do with it. */
export function newKeyPage({ token, metadata }: MintedToken, publicUrl: string): Page {
  const { name, scopes, expiresAt } = metadata;
  return {
    title: "Key created",
    body: html`
      <p class="notice">Copy this key now. It won’t be shown again.</p>
      <dl class="terms">
        <div class="wide"><dt>Key</dt><dd><code class="secret">${token}</code></dd></div>
        <div><dt>Name</dt><dd>${named(name)}</dd></div>
        <div><dt>May</dt><dd>${describeScopes(scopes)}</dd></div>
        <div><dt>Expires</dt><dd>${expiresAt === null ? "Never" : time(new Date(expiresAt))}</dd></div>
      </dl>
      <h2>Give it to your agent</h2>
      <p>Put it where the agent keeps its secrets, such as an environment variable. Never put it in a chat, a prompt or a
        repository. The agent sends it with every request:</p>
      <p><code>Authorization: Bearer ${metadata.preview}</code></p>
      <p>The API is at <code>${publicUrl}/api/public/v1</code>. See the <a href="/docs">API reference</a>. If someone else may
        have seen the key, revoke it at once.</p>
      <p><a class="button" href="${KEYS}">I’ve copied the key</a></p>`,
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
      <p>When the account was claimed, <strong>${agentOf(agentName)}</strong> was promised a key. With it, the agent may
        ${describeScopes(scopes)}. It hasn’t collected the key yet, and can until ${time(until)}.</p>
      <p>If you refuse, the agent can’t collect the key any more. The account stays yours, and you can create a key later.</p>
      <form class="choices" method="post" action="${refusePath(accountId)}">
        ${hiddenField("form_token", formToken)}
        <button type="submit">Refuse key</button>
        <a class="button second" href="${KEYS}">Keep waiting</a>
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
      <p><strong>${mentioned(name)}</strong> <code>${preview}</code> and every key created with it will stop working at once. You
        can’t undo this.</p>
      <p>It may ${describeScopes(scopes)}. ${lastUsedAt === null ? "It was never used." : html`It was last used ${time(new Date(lastUsedAt))}.`}
        Its pending requests stay, and you can still confirm or decline them.</p>
      <form method="post" action="${KEYS}/${id}/revoke">
        ${hiddenField("form_token", formToken)}
        ${
          webhooks.length > 0 &&
          html`<p>These webhooks were created with this key, or with keys created with it. They stay active unless you delete
          them:</p>
        ${madeWebhooks(webhooks, { ticked: false, says: "Delete these webhooks too, in case someone else had the key" })}`
        }
        <div class="choices">
          <button type="submit">Revoke key</button>
          <a class="button second" href="${KEYS}">Keep key</a>
        </div>
      </form>`,
  };
}

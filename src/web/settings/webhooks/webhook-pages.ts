import type { Asker } from "../../../database/schema.ts";
import type { AccountEventType } from "../../../events/schemas.ts";
import { type Html, html } from "../../../lib/html.ts";
import { WEBHOOKS_AT_MOST, type Webhook } from "../../../webhooks/schemas.ts";
import type { MemberWebhook } from "../../../webhooks/service.ts";
import { banner, type Fault, faultSummary, field, hiddenField } from "../../kit/forms.ts";
import type { Page } from "../../kit/layout.ts";
import { type Prover, presenceField, presenceScript } from "../../kit/presence.ts";
import { headingsIn, mentioned, named, standsBehind, time } from "../../kit/wording.ts";
import { type DeliveryPage, deliveryList } from "./deliveries-section.ts";
import { WEBHOOKS, webhookPath } from "./webhook-paths.ts";

/** What each type of event tells, for the person who chooses. */
export const EVENT_WORDS: Record<AccountEventType, string> = {
  "approval.confirmed": "An approval is confirmed, declined or expires",
  "milestone.status_changed": "A milestone is created, funded, paid out, refunded or cancelled",
  "payment.pending": "A confirmed payment or payout is waiting",
  "contract.created": "A contract is created",
  "contract.budget_state_changed": "A contract’s budget state changes",
  "proposal.received": "A proposal is received",
  "proposal.status_changed": "A proposal’s status changes",
  "message.received": "A message is received",
};

/** What the form to add a webhook holds, when it is shown again. */
export type Draft = { url: string; eventTypes: readonly string[] };

/** One account's part of the page. */
export type WebhookSection = {
  accountId: string;
  accountName: string;
  /** Whether the operator has enabled webhooks for the account. */
  enabled: boolean;
  webhooks: readonly Webhook[];
  /** What makes the form to add one; absent for a viewer. */
  adding: { webhookId: string; formToken: string; draft?: Draft | undefined } | undefined;
};

const BANNERS: Record<string, string> = {
  deleted: "Webhook deleted. No more events will be sent to it.",
};

/** Characters of a URL where it stands among others. */
const URL_SHOWN = 80;

/** The ids of the form's fields, of which each account has its own. */
export const fieldIds = (accountId: string) => ({
  url: `url-${accountId}`,
  types: `types-${accountId}`,
  password: `password-${accountId}`,
});

/** The id of the field for the password, on the page of one webhook. */
export const PASSWORD_FIELD = "password";

/** `/settings/webhooks`: where the account's events are sent, and one more place (docs/contract.md §7). */
export function webhooksPage(
  human: Prover,
  sections: readonly WebhookSection[],
  { said, fault }: { said?: string | undefined; fault?: Fault | undefined } = {},
): Page {
  return {
    title: "Webhooks",
    ...(sections.some(({ enabled, adding }) => enabled && adding !== undefined) && presenceScript(human)),
    body: html`
      ${banner(said === undefined ? undefined : BANNERS[said])}
      ${faultSummary(fault)}
      <p>Webhooks send the account’s events to your own programs as they happen. Each request is signed, so your program can
        verify that it came from here.</p>
      ${sections.map((section) => account(human, section, sections.length > 1, fault))}`,
  };
}

function account(human: Prover, section: WebhookSection, several: boolean, fault: Fault | undefined): Html {
  const { accountName, enabled, webhooks, adding } = section;
  const heading = headingsIn(several);
  return html`${several && html`<h2>${mentioned(accountName)}</h2>`}
      ${!enabled && html`<p class="notice">Webhooks aren’t enabled for this account, so no events are sent. Ask the operator of this service to enable them.</p>`}
      ${heading("Where events are sent")}
      ${webhooks.length === 0 ? html`<p>No webhooks yet.</p>` : html`<ul class="rows">${webhooks.map(row)}</ul>`}
      ${enabled && adding !== undefined && html`${heading("Add a webhook")}${addForm(human, section, adding, fault)}`}
      ${enabled && adding === undefined && html`<p class="quiet">Owners and approvers can add and change webhooks.</p>`}`;
}

function row(webhook: Webhook): Html {
  return html`
        <li>
          <a href="${webhookPath(webhook.id)}">${mentioned(webhook.url, URL_SHOWN)}</a>
          <span class="quiet">${status(webhook)}</span>
        </li>`;
}

function status({ status, eventTypes, disabledAt, disabledReason }: Webhook): Html {
  const types = eventTypes.length === 1 ? "1 type of event" : `${eventTypes.length} types of events`;
  return status === "ACTIVE"
    ? html`<b>Active</b>, for ${types}`
    : html`<b>Disabled</b>${disabledAt !== null && html` on ${time(new Date(disabledAt))}`}: ${disabledReason}`;
}

type Adding = NonNullable<WebhookSection["adding"]>;

function addForm(
  human: Prover,
  { accountId, webhooks }: WebhookSection,
  adding: Adding,
  fault: Fault | undefined,
): Html {
  if (webhooks.length >= WEBHOOKS_AT_MOST) {
    return html`<p>An account can have ${WEBHOOKS_AT_MOST} webhooks. Delete one to add another.</p>`;
  }
  const { webhookId, formToken, draft } = adding;
  const ids = fieldIds(accountId);
  const own = fault?.field === ids.types ? fault : undefined;
  const checked = draft?.eventTypes ?? ["approval.confirmed"];
  return html`<form method="post" action="${WEBHOOKS}/add">
        ${hiddenField("account_id", accountId)}
        ${hiddenField("webhook_id", webhookId)}
        ${hiddenField("form_token", formToken)}
        ${field({
          name: "url",
          id: ids.url,
          label: "URL",
          type: "url",
          autocomplete: "off",
          value: draft?.url ?? "",
          hint: "A public https address to send events to.",
          maxLength: 2048,
          fault,
        })}
        <fieldset${own && html` aria-describedby="${ids.types}-fault"`}>
          <legend>Send when</legend>
          ${own && html`<p class="fault" id="${ids.types}-fault">${own.message}</p>`}${Object.entries(
            EVENT_WORDS,
          ).map(
            ([type, words], i) => html`
          <label class="check"><input type="checkbox" name="event_types" value="${type}"${i === 0 && html` id="${ids.types}"`}${checked.includes(type) && " checked"}${own !== undefined && i === 0 && " autofocus"}>
            <span>${words} <code>${type}</code></span></label>`,
          )}
        </fieldset>
        ${presenceField(human, ids.password, fault)}
        <button type="submit">Add webhook</button>
      </form>`;
}

/** One webhook, as a member sees it. */
export type WebhookView = DeliveryPage & {
  webhook: MemberWebhook;
  /** Who stands behind the API key that added it; null: a member did. */
  asker: Asker | null;
  /** The account's name, for people in several accounts. */
  accountName: string | undefined;
  now: Date;
  said?: string | undefined;
  /** Absent for a viewer, and for a webhook that is disabled. */
  rotating: { formToken: string } | undefined;
  deletes: boolean;
  fault?: Fault | undefined;
};

const ONE_BANNERS: Record<string, string> = {
  again: "Resending. Reload this page in a moment to see the result.",
};

/** `/settings/webhooks/{id}`: what it is sent, how that went, and what can be done about it. */
export function webhookPage(human: Prover, view: WebhookView): Page {
  const { webhook, asker, accountName, said, rotating, deletes, fault } = view;
  return {
    title: `Webhook: ${new URL(webhook.url).host}`,
    heading: html`Webhook`,
    ...(rotating && presenceScript(human)),
    body: html`
      ${banner(said === undefined ? undefined : ONE_BANNERS[said])}
      ${faultSummary(fault)}
      ${webhook.status === "DISABLED" && disabledNotice(webhook)}
      <dl class="terms">
        <div class="wide"><dt>URL</dt><dd>${named(webhook.url)}</dd></div>
        ${accountName !== undefined && html`<div><dt>Account</dt><dd>${named(accountName)}</dd></div>`}
        <div><dt>Status</dt><dd>${webhook.status === "ACTIVE" ? "Active" : "Disabled"}</dd></div>
        <div class="wide"><dt>Sent when</dt><dd>${webhook.eventTypes.map(
          (type) => html`<span class="line">${EVENT_WORDS[type as AccountEventType]}</span>`,
        )}</dd></div>
        <div><dt>Added by</dt><dd>${webhook.madeBy === "token" && "the API key "}${named(webhook.makerName)}
          ${asker && html`<span class="quiet">${standsBehind(asker)}</span>`}
          <span class="quiet">${time(new Date(webhook.createdAt))}</span></dd></div>
      </dl>
      <h2>Deliveries</h2>
      ${deliveryList(view)}
      ${rotating && rotatePart(human, view, rotating)}
      ${
        deletes &&
        html`<h2>Delete this webhook</h2>
      <p><a class="button second" href="${webhookPath(webhook.id)}/delete">Delete webhook</a></p>`
      }
      <p><a href="${WEBHOOKS}">All webhooks</a></p>`,
  };
}

function disabledNotice({ disabledAt, disabledReason }: Webhook): Html {
  return html`<p class="notice wrong"><b>Disabled</b>${disabledAt !== null && html` on ${time(new Date(disabledAt))}`}: ${disabledReason}
        No more events are sent. When the receiver works again, delete this webhook and add a new one. The feed has the events that it missed.</p>`;
}

function rotatePart(
  human: Prover,
  { webhook, now, fault }: WebhookView,
  { formToken }: { formToken: string },
): Html {
  const { id, oldSecretUntil } = webhook;
  const both = oldSecretUntil !== null && oldSecretUntil > now;
  return html`<h2>Signing secret</h2>
      <p>${
        both
          ? html`The secret was replaced. Requests are also signed with the earlier secret until ${time(oldSecretUntil)}. If you replace it again, the earlier one stops at once.`
          : "The new secret is shown once. Requests are signed with both secrets for 24 hours, so your program misses nothing."
      }</p>
      <form method="post" action="${webhookPath(id)}/rotate-secret">
        ${hiddenField("shown", oldSecretUntil?.toISOString() ?? "")}
        ${hiddenField("form_token", formToken)}
        ${presenceField(human, PASSWORD_FIELD, fault)}
        <button class="second" type="submit">Replace secret</button>
      </form>`;
}

/** What is shown once: the secret of a webhook that is new, or has a new one. */
export function secretPage({ webhook, secret }: { webhook: Webhook; secret: string }, added: boolean): Page {
  return {
    title: added ? "Webhook added" : "Secret replaced",
    body: html`
      <p class="notice">Copy this secret now. It won’t be shown again.</p>
      <dl class="terms">
        <div class="wide"><dt>Signing secret</dt><dd><code class="secret">${secret}</code></dd></div>
        <div class="wide"><dt>For</dt><dd>${named(webhook.url)}</dd></div>
      </dl>
      <p>Your program uses it to verify that a request came from here. ${
        added
          ? "Events are sent from now on."
          : "Requests are also signed with the earlier secret for 24 hours. Give your program the new one by then."
      }</p>
      <p><a class="button" href="${webhookPath(webhook.id)}">I’ve copied the secret</a></p>`,
  };
}

/** The webhooks of a member who is being removed, and whether to delete them too: `delete_webhooks` in the form. */
export function madeWebhooks(
  webhooks: readonly Webhook[],
  { ticked, says }: { ticked: boolean; says: string },
): Html {
  return html`<ul>${webhooks.map((webhook) => html`<li>${mentioned(webhook.url, URL_SHOWN)} <span class="quiet">${status(webhook)}</span></li>`)}</ul>
        <label class="check"><input type="checkbox" name="delete_webhooks" value="yes"${ticked && " checked"}>
          <span>${says}</span></label>`;
}

/** Asks before a webhook is deleted. */
export function deletePage(human: Prover, { id, url }: Webhook, formToken: string, fault?: Fault): Page {
  return {
    title: "Delete this webhook?",
    ...presenceScript(human),
    body: html`
      ${faultSummary(fault)}
      <p>No more events will be sent to ${mentioned(url, URL_SHOWN)}, including those still waiting. You can’t undo this. Events stay in the feed.</p>
      <form method="post" action="${webhookPath(id)}/delete">
        ${hiddenField("form_token", formToken)}
        ${presenceField(human, PASSWORD_FIELD, fault)}
        <div class="choices">
          <button type="submit">Delete webhook</button>
          <a class="button second" href="${webhookPath(id)}">Keep webhook</a>
        </div>
      </form>`,
  };
}

import type {
  ApprovalState,
  Inbox,
  InboxItem,
  InboxQuery,
  PendingPoint,
} from "../../approvals/inbox-service.ts";
import { type Html, html } from "../../lib/html.ts";
import { PAYMENTS_CSV } from "../contracts/contracts-page.ts";
import { ACTS } from "../contracts/history-page.ts";
import { choice, field } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { amount, closedWord, deadline, mentioned, standsBehind, time, timeLeft } from "../kit/wording.ts";

const INBOX = "/approvals";

export type InboxView = {
  inbox: Inbox;
  query: InboxQuery;
  /** The person's accounts. */
  accounts: readonly { accountId: string; accountName: string }[];
  /** Whether this person may decide for any of them. */
  decides: boolean;
  /** Who has confirmed first, by the approval's id, where a second person must. */
  firstSigners: ReadonlyMap<string, string>;
};

/** `/approvals`: what is pending by its deadline, then what has ended, newest first (docs/contract.md §7). */
export function inboxPage(view: InboxView): Page {
  const { inbox, query, accounts, decides } = view;
  const { pending, ended, count } = inbox;
  const filtered = isFiltered(query);
  return {
    title: count === 0 ? "Approvals" : `Approvals: ${count} pending`,
    heading: html`Approvals`,
    body: html`
      ${filters(view, filtered)}
      ${query.before === undefined && pendingSection(view, filtered)}
      ${ended.length > 0 && html`<h2>Ended</h2>${list(ended, view)}`}
      ${ended.length === 0 && pending.length === 0 && filtered && html`<p>${inbox.nextEnded === null ? "Nothing matches." : "Nothing matches among the newest approvals."}</p>`}
      ${inbox.nextEnded !== null && more(query, { before: inbox.nextEnded }, filtered && ended.length === 0 ? "Search older" : "Show older")}
      ${(query.before !== undefined || query.after !== undefined) && html`<p><a href="${addressOf({ ...query, before: undefined, after: undefined })}">Back to the first page</a></p>`}
      ${decides && pending.length === 0 && ended.length === 0 && !filtered && html`<p class="quiet">Requests from your agents will appear here.</p>`}
      ${accounts.map(
        ({ accountId, accountName }) =>
          html`<p><a href="${PAYMENTS_CSV}?account=${accountId}">Download payments as CSV${accounts.length > 1 && html`: ${mentioned(accountName)}`}</a></p>`,
      )}`,
  };
}

function pendingSection(view: InboxView, filtered: boolean): Html {
  const { inbox, query, decides } = view;
  const { pending, count, amountCents, nextPending } = inbox;
  if (pending.length === 0) return filtered ? html`` : html`<p>Nothing is pending.</p>`;
  return html`<h2>${decides ? "Waiting for you" : "Waiting for a person"}</h2>
      <p>${count} pending, <strong>${amount(amountCents, "usd")}</strong> in total, the first to expire first.</p>
      ${list(pending, view)}
      ${nextPending !== null && more(query, { after: nextPending }, "Show more")}`;
}

const STATES: readonly (readonly [value: ApprovalState | "", words: string])[] = [
  ["", "Any"],
  ["waiting", "Pending"],
  ["executing", "Payment under way"],
  ["confirmed", "Confirmed"],
  ["declined", "Declined"],
  ["expired", "Expired or closed"],
];

/** The filters, unfolded while they are in use. */
function filters({ inbox, query }: InboxView, filtered: boolean): Html {
  const { state = "", payee = "", agent = "", text = "" } = query;
  const names = (all: readonly string[], chosen: string) =>
    [["", "Any"], ...new Set([...all, chosen].filter((name) => name !== ""))].map((one) =>
      typeof one === "string" ? ([one, one] as const) : (["", "Any"] as const),
    );
  return html`<details class="filters"${filtered && " open"}>
        <summary>Search and filter</summary>
        <form method="get" action="${INBOX}">
          ${field({ name: "q", label: "Search", hint: "A payee, an agent, a contract, an amount or an id", type: "text", autocomplete: "off", maxLength: TEXT_AT_MOST, value: text, optional: true })}
          ${choice({ name: "state", label: "State", options: STATES, value: state })}
          ${choice({ name: "payee", label: "Payee", options: names(inbox.payees, payee), value: payee })}
          ${choice({ name: "agent", label: "Requested by", options: names(inbox.agents, agent), value: agent })}
          <button type="submit">Apply</button>
          ${filtered && html`<a href="${INBOX}">Clear</a>`}
        </form>
      </details>`;
}

/** So long a search may be. */
export const TEXT_AT_MOST = 100;

function isFiltered({ state, payee, agent, text }: InboxQuery): boolean {
  return [state, payee, agent, text].some((one) => one !== undefined);
}

function more(query: InboxQuery, next: Pick<InboxQuery, "after" | "before">, words: string): Html {
  const { after, before } = next;
  return html`<p><a class="button second" href="${addressOf({ ...query, after, before })}">${words}</a></p>`;
}

/** The inbox's address with this query. */
function addressOf({ state, payee, agent, text, after, before }: InboxQuery): string {
  const fields = { state, payee, agent, q: text, before, after: after && writePoint(after) };
  const given = Object.entries(fields).filter((one): one is [string, string] => one[1] !== undefined);
  return given.length === 0 ? INBOX : `${INBOX}?${new URLSearchParams(given)}`;
}

function writePoint({ expiresAt, id }: PendingPoint): string {
  return `${expiresAt.getTime()}.${id}`;
}

/** `undefined`: it is no such point. */
export function readPendingPoint(written: string | undefined): PendingPoint | undefined {
  const [, time, id] = /^(\d{1,15})\.([0-9a-f-]{36})$/.exec(written ?? "") ?? [];
  return time === undefined || id === undefined ? undefined : { expiresAt: new Date(Number(time)), id };
}

export function readState(written: string | undefined): ApprovalState | undefined {
  return STATES.map(([value]) => value).find(
    (value): value is ApprovalState => value !== "" && value === written,
  );
}

function list(items: readonly InboxItem[], { accounts, firstSigners }: InboxView): Html {
  return html`<ul class="rows">${items.map((one) => item(one, accounts.length > 1, firstSigners.get(one.id)))}</ul>`;
}

function item(one: InboxItem, several: boolean, firstSigner: string | undefined): Html {
  const { id, type, milestoneName, contractTitle, accountName, tokenName, asker, payee } = one;
  const to = type === "milestone_fund" ? "for" : "to";
  return html`
        <li class="approval">
          <a href="${INBOX}/${id}"><strong>${ACTS[type]} ${amount(one.amountCents, one.currency)}</strong> ${to} ${mentioned(payee ?? accountName)}</a>
          <span>${milestoneName !== null && html`${mentioned(milestoneName)} · `}${mentioned(contractTitle)}${several && html` · ${mentioned(accountName)}`}</span>
          <span class="quiet">Requested by ${mentioned(tokenName)}${asker && html`, ${standsBehind(asker)}`}</span>
          <span>${outcome(one)}${firstSigner !== undefined && html` · <b>1 of 2, by ${mentioned(firstSigner)}</b>`}</span>
        </li>`;
}

function outcome(one: InboxItem): Html {
  const { state, now, expiresAt } = one;
  switch (state) {
    case "waiting":
      return html`<b class="state pending">Pending</b> Decide by ${deadline(expiresAt)} ${timeLeft(expiresAt, now)}`;
    case "executing":
      return html`<b class="state moving">Payment under way</b>`;
    case "confirmed":
      return html`<b class="state done">Confirmed</b> ${time(one.resolvedAt ?? expiresAt)}`;
    case "declined":
      return html`<b class="state wrong">Declined</b> ${time(one.resolvedAt ?? expiresAt)}${
        typeof one.result?.note === "string" &&
        html` <span class="quiet">“${mentioned(one.result.note)}”</span>`
      }`;
    default:
      return html`<b class="state">${closedWord(one)}</b> ${time(one.resolvedAt ?? expiresAt)}`;
  }
}

import type { AuditAction, AuditEntry } from "../../../audit/schemas.ts";
import { type Html, html } from "../../../lib/html.ts";
import type { Page } from "../../kit/layout.ts";
import { mentioned, time } from "../../kit/wording.ts";
import { ACTIONS, GROUPS } from "./activity-words.ts";

export const ACTIVITY = "/settings/activity";

export type ActivityView = {
  account: { accountId: string; accountName: string };
  /** The person's accounts whose activity they may read. */
  accounts: readonly { accountId: string; accountName: string }[];
  group: string | undefined;
  entries: readonly AuditEntry[];
  nextCursor: string | null;
};

/** `/settings/activity`: everything that was done in the account, newest first (docs/contract.md §7). */
export function activityPage(view: ActivityView): Page {
  const { entries, nextCursor } = view;
  return {
    title: "Activity",
    body: html`
      <p>Everything done in the account: by whom and from where. Entries can’t be changed or deleted.</p>
      ${filterForm(view)}
      ${
        entries.length === 0
          ? html`<p>No activity yet.</p>`
          : html`<ul class="rows">${entries.map(item)}</ul>`
      }
      <p class="choices">
        ${nextCursor !== null && html`<a class="button second" href="${address(view, nextCursor)}">Show older</a>`}
        ${entries.length > 0 && html`<a href="${address(view, undefined, `${ACTIVITY}.csv`)}">Download as CSV</a>`}
      </p>`,
  };
}

function filterForm({ account, accounts, group }: ActivityView): Html {
  const chosen = (value: string, present: string | undefined) => value === present && " selected";
  return html`<form method="get" action="${ACTIVITY}">
        ${
          accounts.length > 1 &&
          html`<div class="field"><label for="account">Account</label>
          <select id="account" name="account">${accounts.map(
            ({ accountId, accountName }) =>
              html`<option value="${accountId}"${chosen(accountId, account.accountId)}>${accountName}</option>`,
          )}</select></div>`
        }
        <div class="field"><label for="group">Show</label>
          <select id="group" name="group"><option value="">Everything</option>${Object.entries(GROUPS).map(
            ([value, words]) => html`<option value="${value}"${chosen(value, group)}>${words}</option>`,
          )}</select></div>
        <button class="second" type="submit">Filter</button>
      </form>`;
}

function item(entry: AuditEntry): Html {
  const { at, address, subject } = entry;
  return html`
        <li>
          <strong>${actorOf(entry)} ${ACTIONS[entry.action as AuditAction]?.[1] ?? entry.action}</strong>
          ${subject?.kind === "approval" && html`<span><a href="/approvals/${subject.id}">View the approval</a></span>`}
          ${subject !== null && subject.kind !== "approval" && html`<span class="quiet">${subject.kind} <code>${subject.id}</code></span>`}
          ${changesOf(entry)}
          <span class="quiet">${time(new Date(at))}${address !== null && html` · from ${address}`}</span>
        </li>`;
}

function actorOf({ actor }: AuditEntry): Html {
  switch (actor.kind) {
    case "person":
      return html`${mentioned(actor.name ?? "Unnamed person")}`;
    case "token":
      return html`The API key ${mentioned(actor.name ?? "without a name")}`;
    case "operator":
      return html`The operator`;
    default:
      return html`This service`;
  }
}

/** From what to what, for the simple values that changed. */
function changesOf({ before, after }: AuditEntry): Html | null {
  const shown = (value: unknown): value is string | number | boolean =>
    ["string", "number", "boolean"].includes(typeof value);
  const changed = Object.entries(after ?? {}).filter(
    ([key, value]) => shown(value) && before?.[key] !== value,
  );
  if (changed.length === 0) return null;
  return html`<span>${changed.map(([key, value], i) => {
    const old = before?.[key];
    const from = shown(old) && html`${mentioned(String(old))} → `;
    return html`${i > 0 && ", "}${key}: ${from}${mentioned(String(value))}`;
  })}</span>`;
}

function address({ account, group }: ActivityView, cursor?: string, path = ACTIVITY): string {
  const query = new URLSearchParams({ account: account.accountId });
  if (group !== undefined) query.set("group", group);
  if (cursor !== undefined) query.set("cursor", cursor);
  return `${path}?${query}`;
}

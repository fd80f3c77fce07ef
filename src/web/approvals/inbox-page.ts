import type { HumanApproval } from "../../approvals/human-service.ts";
import { type Html, html } from "../../lib/html.ts";
import { sumOf } from "../../lib/statement.ts";
import { formatTimeLeft } from "../../lib/time.ts";
import type { Page } from "../kit/layout.ts";
import { amount, closedWord, deadline, mentioned, standsBehind, time } from "../kit/wording.ts";
import { actWords, recipient } from "./act-words.ts";

/**
 * `/approvals`: what waits for a person first, then what was decided (docs/contract.md §7).
 * @param decides whether any of them is for this person to decide
 * @param firstSigners who has confirmed first, by the approval's id, where a second person must
 */
export function inboxPage(
  approvals: readonly HumanApproval[],
  { decides, firstSigners }: { decides: boolean; firstSigners: ReadonlyMap<string, string> },
): Page {
  const open = approvals.filter(({ state }) => state === "waiting" || state === "executing");
  const past = approvals.filter(({ state }) => state !== "waiting" && state !== "executing");
  const several = new Set(approvals.map(({ accountId }) => accountId)).size > 1;
  const list = (shown: readonly HumanApproval[]): Html =>
    html`<ul class="rows">${shown.map((approval) => item(approval, several, firstSigners.get(approval.id)))}</ul>`;
  return {
    title: open.length === 0 ? "Approvals" : `Approvals: ${open.length} waiting`,
    heading: html`Approvals`,
    body: html`
      <h2>${decides ? "Waiting for you" : "Waiting for a person"}</h2>
      ${open.length === 0 ? html`<p>Nothing is waiting. Requests from your agents will appear here.</p>` : list(open)}
      ${past.length === 0 ? null : html`<h2>Decided</h2>${list(past)}`}`,
  };
}

function item(approval: HumanApproval, several: boolean, firstSigner: string | undefined): Html {
  const { amountCents, currency } = sumOf(approval.terms);
  const { id, milestoneName, contractTitle, accountName, tokenName, asker } = approval;
  return html`
        <li class="approval">
          <a href="/approvals/${id}"><strong>${actWords(approval).ask} ${amount(amountCents, currency)}</strong> ${recipient(approval).shown}</a>
          <span>${milestoneName !== null && html`${mentioned(milestoneName)} · `}${mentioned(contractTitle)}${several && html` · ${mentioned(accountName)}`}</span>
          <span class="quiet">Requested by ${mentioned(tokenName)}${asker && html`, ${standsBehind(asker)}`}</span>
          <span class="quiet">${outcome(approval)}${firstSigner !== undefined && html` · <b>1 of 2, by ${mentioned(firstSigner)}</b>`}</span>
        </li>`;
}

function outcome(approval: HumanApproval): Html {
  const { state, now, expiresAt } = approval;
  switch (state) {
    case "waiting":
      return html`<b>Decide by ${deadline(expiresAt)}</b> (${formatTimeLeft(expiresAt.getTime() - now.getTime())} left)`;
    case "executing":
      return html`<b>Payment under way</b>`;
    default: {
      const word =
        state === "expired" ? closedWord(approval) : state === "declined" ? "Declined" : "Confirmed";
      return html`<b>${word}</b>, ${time(approval.resolvedAt ?? expiresAt)}`;
    }
  }
}

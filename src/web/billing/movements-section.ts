import type { MoneyMovement } from "../../approvals/contract-money-service.ts";
import { type Html, html } from "../../lib/html.ts";
import { amount, mentioned, time } from "../kit/wording.ts";

const KINDS: Record<MoneyMovement["kind"], { what: string; party: string }> = {
  FUNDING: { what: "Funding for", party: "from" },
  PAYOUT: { what: "Payout to", party: "to" },
  REFUND: { what: "Refund of money for", party: "to" },
};

const STATUSES: Record<string, string> = {
  open: "under way",
  paid: "paid",
  void: "void: no money moved",
  refunded: "refunded",
};

/** Each invoice of the account with its payee, milestone, source and receipt, newest first; the CSV has all of them. */
export function movementsSection(
  movements: readonly MoneyMovement[],
  accountId: string,
  heading: (text: string) => Html,
): Html {
  return html`${heading("Invoices and payouts")}
      ${
        movements.length === 0
          ? html`<p class="quiet">None yet.</p>`
          : html`<ul class="rows">${movements.map(row)}</ul>
      <p><a href="/contracts.csv?account=${accountId}">Download all as CSV</a></p>`
      }`;
}

function row(movement: MoneyMovement): Html {
  const { kind, invoiceNumber, status, amountCents, currency, payee, party, approvalId, at } = movement;
  const { what, party: where } = KINDS[kind];
  const name = invoiceNumber === null ? "Refund" : html`Invoice ${invoiceNumber}`;
  const settled = status === "paid" || status === "refunded";
  const path = settled ? `/approvals/${approvalId}/receipt` : `/approvals/${approvalId}`;
  return html`
        <li>
          <a href="${path}">${name}</a> ${amount(amountCents, currency)}
          <span class="quiet">${what} ${mentioned(payee)}, ${mentioned(movement.milestoneName ?? movement.milestoneId)}, ${where} ${mentioned(party)}.
            <b>${STATUSES[status] ?? status}</b>, ${time(at)}</span>
        </li>`;
}

import type { HumanApproval } from "../../approvals/human-service.ts";
import { type Html, html } from "../../lib/html.ts";
import { type ApprovalTerms, sumOf } from "../../lib/statement.ts";
import { amount, mentioned, named } from "../kit/wording.ts";

type Row = { name: string; from: Html; to: Html };

/** Each term that is not what it was at the request: from what to what it has changed. */
export function changedTerms({ terms, presentTerms }: HumanApproval): Html | null {
  const rows = [...sums(terms, presentTerms), ...texts(terms, presentTerms)];
  if (rows.length === 0) return null;
  return html`<ul>${rows.map(
    ({ name, from, to }) => html`
          <li>${name}: from ${from} to ${to}</li>`,
  )}
        </ul>`;
}

function sums(before: ApprovalTerms, now: ApprovalTerms): Row[] {
  const [from, to] = [sumOf(before), sumOf(now)];
  if (from.amountCents === to.amountCents && from.currency === to.currency) return [];
  return [
    {
      name: "Amount",
      from: amount(from.amountCents, from.currency),
      to: html`<strong>${amount(to.amountCents, to.currency)}</strong>`,
    },
  ];
}

const QUOTED = 120;

function texts(before: ApprovalTerms, now: ApprovalTerms): Row[] {
  if ("refunds" in before || "refunds" in now) return [];
  const fields: [name: string, from: string | null, to: string | null][] = [
    ["Payee", before.payee.displayName, now.payee.displayName],
    ["Payee’s id", before.payee.userId, now.payee.userId],
    ["Payout account", accountOf(before), accountOf(now)],
    ["Description", before.description, now.description],
  ];
  return fields
    .filter(([, from, to]) => from !== to)
    .map(([name, from, to]) => ({
      name,
      from: said(name, from),
      to: html`<strong>${said(name, to)}</strong>`,
    }));
}

function accountOf(terms: Exclude<ApprovalTerms, { refunds: unknown }>): string | null {
  return "payout" in terms ? terms.payout.account : terms.payee.payoutAccount;
}

function said(name: string, text: string | null): Html {
  if (text === null) return html`none`;
  return name === "Description" ? html`“${mentioned(text, QUOTED)}”` : named(text);
}

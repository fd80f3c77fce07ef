import type { Asker } from "../../database/schema.ts";
import { type Html, html } from "../../lib/html.ts";
import { formatAmount } from "../../lib/money.ts";
import { sumOf } from "../../lib/statement.ts";
import { passkeyName } from "../../receipts/report.ts";
import type { Receipt, Signed } from "../../receipts/schemas.ts";
import type { Page } from "../kit/layout.ts";
import { amount, named, quote, sourceName, standsBehind, time } from "../kit/wording.ts";

export type ReceiptView = {
  receipt: Receipt;
  /** Who stands behind the key that asked, as far as is known; the receipt itself holds the key alone. */
  asker: Asker | null;
  /** What the contract and its milestone were called at the request; the receipt itself holds their ids alone. */
  names: { contract: string | null; milestone: string | null } | undefined;
  /** The thumbprint of the key that signs. */
  kid: string;
};

const DONE = { milestone_fund: "funded", milestone_approve: "released", contract_end: "refunded" } as const;

/** `/approvals/{id}/receipt`: what was decided and what proves it, to read and to print. */
export function receiptPage({ receipt, asker, names, kid }: ReceiptView): Page {
  const { approval, terms, chain } = receipt;
  const { amountCents, currency } = sumOf(terms);
  const sum = amount(amountCents, currency);
  const word = approval.status === "confirmed" ? DONE[approval.type] : "declined";
  const path = `/approvals/${approval.id}`;
  return {
    title: `Receipt: ${formatAmount(amountCents, currency)} ${word}`,
    heading: html`Receipt: ${sum} ${word}`,
    body: html`
      ${decided(receipt, asker, names)}
      <h2>Who signed</h2>
      <dl class="terms">${receipt.statements.map((one) => signature(one, cameToNothing(one, receipt)))}</dl>
      ${receipt.payments.length > 0 && payments(receipt)}
      <h2>How to check it</h2>
      <p>This is receipt ${chain.index} of <strong>${named(receipt.accountName)}</strong>. Each names the digest of the one
        before it, so that none can be changed, left out or put in between unnoticed. The service has signed it.</p>
      <dl class="terms proof">
        ${row("Digest", code(chain.digest))}
        ${chain.index > 1 && row("The one before", code(chain.previousDigest))}
        ${row("Signed with", code(kid))}
      </dl>
      <p>Keep the file, and the service’s <a href="/.well-known/jwks.json">public keys</a>. With both and Countersign’s
        source, anyone can check them without this service:</p>
      <p><code>npx --no verify-receipt ${fileName(receipt)} --key jwks.json</code></p>
      ${proofs(receipt)}
      <p class="choices">
        <a class="button" href="${path}/receipt.json" download>Download the file</a>
        <a class="button second" href="${path}">Back to the approval</a>
      </p>`,
  };
}

/** What the file of a receipt is called when it is saved. */
export function fileName({ approval, chain }: Receipt): string {
  return `receipt-${chain.index}-${approval.id}.json`;
}

function decided(
  { approval, terms, accountId, accountName, askedBy }: Receipt,
  asker: Asker | null,
  names: ReceiptView["names"],
): Html {
  const { amountCents, currency } = sumOf(terms);
  const outcome =
    approval.status === "confirmed"
      ? `Confirmed, and ${DONE[approval.type]}`
      : "Declined: no money has moved";
  return html`<dl class="terms">
        ${row("Outcome", html`<strong>${outcome}</strong>${detail("on", at(approval.resolvedAt))}`)}
        ${row("Amount", html`<strong>${amount(amountCents, currency)}</strong>`)}
        ${row("From", html`<strong>${named(accountName)}</strong>${detail("account", code(accountId))}`)}
        ${"refunds" in terms ? refundRows(terms.refunds) : payeeRows(terms)}
        ${names !== undefined && names.contract !== null && row("Contract", html`${named(names.contract)}${names.milestone !== null && html`, ${named(names.milestone)}`}<span class="quiet">as named at the request, not signed</span>`)}
        ${row("Requested by", html`${named(askedBy.name)}${asker && html`<span class="quiet">${standsBehind(asker)}</span>`}${detail("key", code(askedBy.preview))}${detail("on", at(approval.createdAt))}`)}
        ${row("References", references(approval, terms), "wide")}
      </dl>`;
}

type Terms = Receipt["terms"];

function payeeRows(terms: Exclude<Terms, { refunds: unknown }>): Html {
  const { displayName, userId, payoutAccount } = terms.payee;
  const account = "payout" in terms ? terms.payout.account : payoutAccount;
  return html`${row("To", html`<strong>${named(displayName)}</strong>${detail("user", code(userId))}${account !== null && detail("account", code(account))}`)}
        ${row("For", quote(terms.description), "wide")}`;
}

function refundRows(refunds: Extract<Terms, { refunds: unknown }>["refunds"]): Html {
  const each = refunds.map(
    ({ milestoneId, amountCents, currency, to }) =>
      html`<li>${amount(amountCents, currency)} to the ${to === "card" ? "card that paid it" : "account’s credits"}${detail("milestone", code(milestoneId))}</li>`,
  );
  return row("Refunds", html`<ul>${each}</ul>`, "wide");
}

function references({ id, contractId, jobId, result }: Receipt["approval"], terms: Receipt["terms"]): Html {
  const ids: [string, unknown][] = [
    ["approval", id],
    ["milestone", "refunds" in terms ? undefined : terms.milestoneId],
    ["contract", contractId],
    ["job", jobId],
    ["invoice", result?.invoiceId],
  ];
  return html`${ids.map(([name, value]) => typeof value === "string" && detail(name, code(value)))}`;
}

/** Whether it was the first of two confirmations, and no payment was made for it. */
function cameToNothing({ statement, digest }: Signed, { payments: attempts, credits }: Receipt): boolean {
  const moved = [...attempts, ...credits].some(({ statements }) => statements.includes(digest));
  return statement.decision === "confirm" && !moved;
}

function signature({ statement, signedBy, signedAt, proof, digest }: Signed, unused: boolean): Html {
  const { source, decision } = statement;
  const card = source === null ? "" : html`, from the ${sourceName(source)}`;
  return row(
    decision === "confirm" ? "Confirmed by" : "Declined by",
    html`<strong>${named(signedBy.name)}</strong>${signedBy.email !== null && html`, ${named(signedBy.email)}`}${card}
          ${detail("on", at(signedAt))}${detail("by", proofWords(proof))}${detail("statement", code(digest))}${
            unused && html`<span class="quiet">It did not count: no payment was made for it.</span>`
          }`,
  );
}

function proofWords(proof: Signed["proof"]): Html {
  switch (proof.kind) {
    case "passkey":
      return html`their passkey ${code(passkeyName(proof.publicKey))}, on ${proof.origin}`;
    case "password":
      return html`their password, typed on ${at(proof.provedAt)}`;
    default:
      return html`being signed in; they had last shown that it is them on ${at(proof.provedAt)}`;
  }
}

const MOVED = { charge: "Charged", payout: "Paid out", refund: "Refunded" } as const;

function payments({ payments: attempts }: Receipt): Html {
  return html`<h2>Payments</h2>
      <dl class="terms">${attempts.map((one) =>
        row(
          one.status === "succeeded" ? MOVED[one.kind] : "Refused",
          html`${amount(one.amountCents, one.currency)}${detail("on", at(one.resolvedAt))}${
            one.intentId !== null && detail("payment", code(one.intentId))
          }${one.sentId !== null && detail(one.kind, code(one.sentId))}${one.refusal?.message && detail("because", html`${one.refusal.message}`)}`,
        ),
      )}</dl>`;
}

function proofs({ statements, payments: attempts }: Receipt): Html {
  const kinds = statements.map(({ proof }) => proof.kind);
  return html`<h2>What this receipt proves, and what it doesn’t</h2>
      <ul>
        <li>This service has stated exactly this, and nothing in it was changed since.</li>
        ${
          kinds.includes("passkey") &&
          html`<li>The holder of the passkey signed exactly these terms, and their device had recognised them. That the passkey
          is theirs is the service’s word.</li>`
        }
        ${
          kinds.some((kind) => kind !== "passkey") &&
          html`<li>That a password was typed, or a person was signed in, is the service’s word: it leaves nothing that others
          could check.</li>`
        }
        ${
          attempts.length > 0 &&
          html`<li>Not that the money arrived: the processor knows that, by the payment’s id. What was refunded later does not
          stand here.</li>`
        }
      </ul>`;
}

function row(name: string, value: Html, width?: "wide"): Html {
  return html`<div${width && html` class="wide"`}><dt>${name}</dt><dd>${value}</dd></div>`;
}

function detail(name: string, value: Html): Html {
  return html`<span class="quiet">${name} ${value}</span>`;
}

function code(text: string): Html {
  return html`<code>${text}</code>`;
}

function at(iso: string): Html {
  return time(new Date(iso));
}

import type { ContractPoint, ContractSummary } from "../../approvals/contract-money-service.ts";
import { type Html, html } from "../../lib/html.ts";
import type { Page } from "../kit/layout.ts";
import { amount, mentioned } from "../kit/wording.ts";

export const CONTRACTS = "/contracts";
/** The payments of an account; an address that no contract's page can have. */
export const PAYMENTS_CSV = "/contracts.csv";

/** The address of a contract's page. Two accounts may use the same id, so it names the account. */
export function contractPath({ accountId, id }: ContractPoint): string {
  return `${CONTRACTS}/${id}?account=${accountId}`;
}

/** The point of a list as its address holds it: the account's id has 36 characters. */
export function writePoint({ accountId, id }: ContractPoint): string {
  return `${accountId}.${id}`;
}

/** `undefined`: it is no such point. */
export function readPoint(written: unknown): ContractPoint | undefined {
  if (typeof written !== "string") return undefined;
  const found = /^([0-9a-f-]{36})\.(.+)$/.exec(written);
  return found?.[1] === undefined || found[2] === undefined
    ? undefined
    : { accountId: found[1], id: found[2] };
}

export type ContractsView = {
  contracts: readonly ContractSummary[];
  next: ContractPoint | null;
  /** The person's accounts. */
  accounts: readonly { accountId: string; accountName: string }[];
};

/** `/contracts`: the accounts' contracts, newest first, with what is held in escrow and what is pending. */
export function contractsPage({ contracts, next, accounts }: ContractsView): Page {
  const several = accounts.length > 1;
  return {
    title: "Contracts",
    body: html`
      ${
        contracts.length === 0
          ? html`<p>No contracts here. Contracts that the operator of this service adds will appear here.</p>`
          : html`<ul class="rows">${contracts.map((contract) => item(contract, several))}</ul>`
      }
      ${next !== null && html`<p><a class="button second" href="${CONTRACTS}?after=${encodeURIComponent(writePoint(next))}">Show older</a></p>`}
      ${accounts.map(
        ({ accountId, accountName }) =>
          html`<p><a href="${PAYMENTS_CSV}?account=${accountId}">Download payments as CSV${several && html`: ${mentioned(accountName)}`}</a></p>`,
      )}`,
  };
}

function item(contract: ContractSummary, several: boolean): Html {
  const { title, payee, status, accountName, currency, pendingApprovals: pending } = contract;
  return html`
        <li>
          <a href="${contractPath(contract)}"><strong>${mentioned(title)}</strong></a>
          <span>${mentioned(payee)}${several && html` · ${mentioned(accountName)}`} · <b>${status === "active" ? "Active" : "Ended"}</b></span>
          <span class="quiet">${amount(contract.totalCents, currency)} in total · ${amount(contract.heldCents, currency)} held in escrow · ${amount(contract.paidOutCents, currency)} paid out</span>
          ${pending > 0 && html`<span><b>${pending} pending ${pending === 1 ? "approval" : "approvals"}</b></span>`}
        </li>`;
}

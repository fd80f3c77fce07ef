import { stringify } from "csv-stringify/sync";
import { listMovements, type MoneyMovement } from "../../approvals/contract-money-service.ts";
import type { App } from "../../http/app.ts";
import { centsToDollars } from "../../lib/money.ts";
import { Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { accountOf } from "../kit/memberships.ts";
import { personPage } from "../kit/person-routes.ts";
import { PAYMENTS_CSV } from "./contracts-page.ts";

/**
 * The account's fundings, payouts and refunds as CSV (docs/contract.md §7), by default those of the person's first
 * account. Every member sees payments, viewers too.
 */
export function paymentsCsvRoute(app: App, deps: SessionDeps): void {
  personPage(app, deps, PAYMENTS_CSV, async ({ human, query: { account } }, reply) => {
    const own = account === undefined ? human.memberships[0] : accountOf(human, account);
    if (own === undefined) throw new Problem("not_found", { resource: "accounts" });
    const rows = await listMovements(deps.db, own.accountId);
    return reply
      .header("content-disposition", 'attachment; filename="payments.csv"')
      .type("text/csv; charset=utf-8")
      .send(toCsv(rows, deps.config.publicUrl));
  });
}

/** One line a movement. A cell that a spreadsheet would run as a formula is escaped. */
function toCsv(rows: readonly MoneyMovement[], publicUrl: string): string {
  const lines = rows.map((row) => ({
    time: row.at.toISOString(),
    kind: row.kind.toLowerCase(),
    invoice_number: row.invoiceNumber,
    status: row.status,
    amount: centsToDollars(row.amountCents).toFixed(2),
    currency: row.currency.toUpperCase(),
    from_or_to: row.party,
    payee: row.payee,
    contract_id: row.contractId,
    contract: row.contractTitle,
    milestone_id: row.milestoneId,
    milestone: row.milestoneName,
    approval: `${publicUrl}/approvals/${row.approvalId}`,
    receipt: `${publicUrl}/approvals/${row.approvalId}/receipt`,
  }));
  return stringify(lines, { header: true, escape_formulas: true, record_delimiter: "windows" });
}

import type { Db } from "../database/connection.ts";
import { formatAmount } from "../lib/money.ts";
import { type AccountSums, readSums } from "./sums-store.ts";

/**
 * What does not add up in these accounts (docs/design.md, invariant 7), for people. Everything paid in, plus the
 * operator's adjustments, must be held, paid out, refunded, disputed, lost, or available.
 * @returns findings by account; accounts that add up are absent
 */
export async function findUnbalanced(db: Db, accountIds: readonly string[]): Promise<Map<string, string[]>> {
  const sums = await readSums(db, accountIds);
  return new Map(sums.map((one) => [one.accountId, faultsOf(one)]));
}

function faultsOf(sums: AccountSums): string[] {
  const { paidIn, adjustments, held, paidOut, goneBack, disputed, lost, available } = sums;
  const right: [boolean, string][] = [
    [
      paidIn + adjustments === held + paidOut + goneBack + disputed + lost + available,
      `${show(paidIn)} paid in and ${show(adjustments)} adjusted are not the sum of ${show(held)} held, ${show(paidOut)} paid out, ` +
        `${show(goneBack)} gone back, ${show(disputed)} disputed, ${show(lost)} lost and ${show(available)} available`,
    ],
    [sums.ledgerSum === 0, `the ledger sums to ${show(sums.ledgerSum)}`],
    [sums.ledgerCredits === -available, "the ledger's credits are not the available balance"],
    [sums.reserved === sums.openHolds, "the reserved credits are not what is held"],
  ];
  return right.filter(([holds]) => !holds).map(([, fault]) => fault);
}

function show(cents: number): string {
  return `${cents < 0 ? "−" : ""}${formatAmount(Math.abs(cents), "usd")}`;
}

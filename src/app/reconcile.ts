import { parseArgs } from "node:util";
import {
  reconcile as compareBooks,
  type Difference,
  type Reconciliation,
} from "../billing/reconcile-service.ts";
import type { StripeAddress } from "../billing/stripe-client.ts";
import type { Config } from "../config/config.ts";
import { readArguments, withProcessor } from "./by-hand.ts";
import { toText } from "./table.ts";

const DAYS = 35;
/** Exit codes of `reconcile`, for scheduled runs. */
export const RECONCILED = { same: 0, different: 1, failed: 2 } as const;

/**
 * Compares the processor's books with ours, and prints what differs.
 * @param args `--days N`, `--dry-run`
 * @returns the exit code
 * @throws StartError for whatever the person at the terminal can mend
 */
export async function reconcile(
  config: Config,
  args: readonly string[],
  stripeAt?: StripeAddress,
): Promise<{ code: number; text: string }> {
  const options = readOptions(args);
  return withProcessor(config, "reconcile", stripeAt, async (deps) => {
    const result = await compareBooks(deps, options);
    const code = result.differences.length === 0 ? RECONCILED.same : RECONCILED.different;
    return { code, text: print(result, options) };
  });
}

type Options = { days: number; dryRun: boolean };

function readOptions(args: readonly string[]): Options {
  return readArguments("reconcile [--days N] [--dry-run]", () => {
    const text = { type: "string", default: String(DAYS) } as const;
    const flag = { type: "boolean", default: false } as const;
    const { values } = parseArgs({ args: [...args], options: { days: text, "dry-run": flag } });
    const days = Number(values.days);
    if (!Number.isInteger(days) || days < 1 || days > 3_650) throw new Error("--days must be from 1 to 3650");
    return { days, dryRun: values["dry-run"] };
  });
}

function print({ since, compared, differences, leftOver }: Reconciliation, { dryRun }: Options): string {
  const lines = [`Compared ${compared} payments since ${since.toISOString()}.`];
  const cancelled = leftOver.length;
  if (cancelled > 0) {
    const said = dryRun ? "would be cancelled" : "were cancelled";
    lines.push(
      `${cancelled} intents that never moved and belong to nothing ${said}: ${leftOver.map(({ id }) => id).join(", ")}`,
    );
  }
  if (differences.length === 0) return [...lines, "No differences."].join("\n");
  return [...lines, toText(differences.map(toRow)), `${differences.length} differences.`].join("\n");
}

function toRow({ kind, id, processor, books, paymentId, accountId }: Difference) {
  return { difference: kind, id, processor, "our books": books, payment: paymentId, account: accountId };
}

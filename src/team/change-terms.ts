import { formatAmount } from "../lib/money.ts";
import type { ChangeTerms } from "../lib/statement.ts";

type Value = ChangeTerms["to"][string];

/** One value of a change, in words. `userSupplied`: it may hold any text, and is to be quoted. */
export type ValueChange = { label: string; from: string | undefined; to: string; userSupplied: boolean };

const FIELDS: Record<string, readonly [label: string, words?: (value: Value) => string]> = {
  name: ["Name"],
  email: ["Email"],
  role: ["Role"],
  coSign: ["Confirm with", (value) => (value === "passkey" ? "passkey only" : "passkey or password")],
  amountTypedFromCents: ["Type the amount from", (value) => amountOr(value, "the operator’s amount")],
  secondSignerFromCents: ["Second person from", (value) => amountOr(value, "never")],
  billing: [
    "Fundings are paid from",
    (value) => (value === "card" ? "the card on file" : "credits first, then the card on file"),
  ],
};

/**
 * Every value that a change's terms name, from what to what. A value that does not change has no `from`; those of a
 * policy are left out.
 */
export function describeChange({ subject, from, to }: ChangeTerms): ValueChange[] {
  return Object.entries(to).flatMap(([key, value]) => {
    const [label = key, words] = FIELDS[key] ?? [];
    const before = from?.[key];
    const same = before === undefined || before === value;
    if (same && subject.kind === "account") return [];
    const said = words ?? String;
    return [
      { label, from: same ? undefined : said(before), to: said(value), userSupplied: words === undefined },
    ];
  });
}

function amountOr(value: Value, none: string): string {
  return typeof value === "number" ? formatAmount(value, "usd") : none;
}

import type { Database } from "../database/schema.ts";
import type { FundingTerms } from "../lib/statement.ts";

type Column = `m.${keyof Database["milestones"]}` | `c.${keyof Database["contracts"]}`;
type ColumnsOf<T> = { [K in keyof T]: T[K] extends object ? ColumnsOf<T[K]> : Column };

/**
 * Where each signed term is stored: in the milestone `m` or in its contract `c`. What a request records, what is
 * compared at the decision, and what counts as a change of terms all follow from this; the compiler finds a term that
 * has no column.
 */
const COLUMNS: ColumnsOf<FundingTerms> = {
  amountCents: "m.amount_cents",
  currency: "m.currency",
  milestoneId: "m.id",
  description: "m.description",
  contractId: "c.id",
  jobId: "c.job_id",
  payee: {
    userId: "c.freelancer_user_id",
    displayName: "c.freelancer_name",
    payoutAccount: "c.payout_account",
  },
};

/** The present terms of the milestone `m` of the contract `c`, as a JSON value in SQL. */
export const FUNDING_TERMS = toJson(COLUMNS);

/** The present terms of a release of `m` under `c`: those of its funding, and where its payee is paid now. */
export const RELEASE_TERMS = `${FUNDING_TERMS} || jsonb_build_object('payout', jsonb_build_object('account', c.payout_account))`;

/**
 * The same as plain columns, for `readFundingTerms`: in the statement of a fund request, building JSON took 70 µs of 600.
 */
export const FUNDING_TERMS_COLUMNS = toColumns(COLUMNS, "terms").join(", ");

/** The terms in a row that was read with `FUNDING_TERMS_COLUMNS`. */
export function readFundingTerms(row: object): FundingTerms {
  return fill(COLUMNS, "terms", row as Readonly<Record<string, unknown>>) as FundingTerms;
}

/** Whether values to be written change what people sign. Columns that are not among the values stay as they are. */
export function changesTerms(
  table: "contracts" | "milestones",
  row: Readonly<Record<string, unknown>>,
  values: Readonly<Record<string, unknown>>,
): boolean {
  const signed = SIGNED[table];
  return Object.entries(values).some(([column, value]) => signed.has(column) && row[column] !== value);
}

type Tree = { readonly [key: string]: string | Tree };

function toJson(columns: Tree): string {
  const parts = Object.entries(columns).map(
    ([name, column]) => `'${name}', ${typeof column === "string" ? column : toJson(column)}`,
  );
  return `jsonb_build_object(${parts.join(", ")})`;
}

function toColumns(columns: Tree, path: string): string[] {
  return Object.entries(columns).flatMap(([name, column]) =>
    typeof column === "string" ? [`${column} as "${path}.${name}"`] : toColumns(column, `${path}.${name}`),
  );
}

function fill(columns: Tree, path: string, row: Readonly<Record<string, unknown>>): object {
  const entries = Object.entries(columns).map(([name, column]) => {
    const inner = `${path}.${name}`;
    return [name, typeof column === "string" ? row[inner] : fill(column, inner, row)];
  });
  return Object.fromEntries(entries);
}

function flatten(columns: Tree): string[] {
  return Object.values(columns).flatMap((column) =>
    typeof column === "string" ? [column] : flatten(column),
  );
}

// A milestone that moves to another contract has other terms: its contract's id is among them.
const SIGNED = {
  contracts: columnsIn("c."),
  milestones: new Set([...columnsIn("m."), "contract_id"]),
};

function columnsIn(prefix: string): ReadonlySet<string> {
  return new Set(
    flatten(COLUMNS)
      .filter((column) => column.startsWith(prefix))
      .map((column) => column.slice(prefix.length)),
  );
}

import type { ApprovalTerms, FundingTerms } from "../../src/lib/statement.ts";

/** The terms of a funding or a release. */
export function fundingOf(terms: ApprovalTerms): FundingTerms {
  if ("refunds" in terms) throw new TypeError("these are the terms of a contract's end");
  return terms;
}

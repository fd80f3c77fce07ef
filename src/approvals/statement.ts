import type { Terms } from "../database/schema.ts";
import { canonicalDigest } from "../lib/canonical.ts";

export type Decision = "confirm" | "decline";

/** What pays, as the human is shown it. */
export type Source = { kind: "card"; brand: string; last4: string };

/** What a human signs (CONTRACT.md §1): one form everywhere. */
export type Statement = {
  v: 1;
  accountId: string;
  approvalId: string;
  decision: Decision;
  terms: Terms;
  /** Null when nothing is paid: for a decline. */
  source: Source | null;
  /** Drawn for each showing of the page, so that no two statements are the same. */
  nonce: string;
};

/** SHA-256 over the statement's RFC 8785 form. */
export function statementDigest(statement: Statement): Buffer {
  return canonicalDigest(statement);
}

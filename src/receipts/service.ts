import { hash } from "node:crypto";
import type { Db, Trx } from "../database/connection.ts";
import { together } from "../database/transaction.ts";
import { canonicalText } from "../lib/canonical.ts";
import { isUuid } from "../lib/ids.ts";
import { notFound, Problem } from "../lib/problems.ts";
import type { LinkedContent, Receipt } from "./schemas.ts";
import { signReceipt } from "./signature.ts";
import { openReceiptKeys, type ReceiptKeys } from "./signing-keys.ts";
import * as store from "./store.ts";

export { openReceiptKeys, type ReceiptKeys };

export type ReceiptDeps = { db: Db; receiptKeys: ReceiptKeys };

/**
 * Links a decided approval into its account's chain (docs/design.md, invariant 6), in the transaction that decides it.
 * Call it after every write that the receipt describes, and after `appendEvents`, which locks the account's head, the
 * last in the order of locks.
 */
export async function linkDecision(
  trx: Trx,
  accountId: string,
  approvalId: string,
  now: Date,
): Promise<void> {
  const { content, head } = await store.readDecision(trx, accountId, approvalId);
  const { next: index } = head;
  const chain = { index, previousDigest: head.digest.toString("hex") };
  const body = canonicalText({ ...content, chain } satisfies LinkedContent);
  const digest = hash("sha256", body, "buffer");
  const previousIndex = head.index === 0 ? null : head.index;
  const receipt = { accountId, approvalId, index, previousIndex, previousDigest: head.digest, digest, body };
  const [, advanced] = await together(
    store.insertReceipt(trx, receipt, now),
    store.advanceChain(trx, accountId, head.index, { index, digest }),
  );
  if (!advanced) throw new TypeError("the account's head was not locked");
}

/**
 * The receipt that was read together with the requesting token (docs/contract.md §1).
 * @throws Problem not_found {resource: "approvals", approvalId}, no_receipt
 */
export function showReceipt(keys: ReceiptKeys, row: store.GrantWithReceipt, asked: string): Receipt {
  const { approvalId, digest, body } = row;
  if (approvalId === null) throw notFound("approvals", "approvalId", asked);
  if (digest === null || body === null) throw new Problem("no_receipt", { approvalId });
  return toReceipt(keys, { digest, body });
}

/**
 * The receipt of an approval in one of the person's accounts.
 * @returns `undefined` when there is no such approval, or it has no receipt
 */
export async function findReceiptForHuman(
  { db, receiptKeys }: ReceiptDeps,
  accountIds: readonly string[],
  approvalId: string,
): Promise<Receipt | undefined> {
  const row = isUuid(approvalId) ? await store.findReceiptForHuman(db, accountIds, approvalId) : undefined;
  return row && toReceipt(receiptKeys, row);
}

/** Signs on read with the current signing key, so the bytes stay the same until that key changes. */
function toReceipt({ signing }: ReceiptKeys, { digest, body }: store.ReceiptRow): Receipt {
  const { chain, ...content } = JSON.parse(body) as LinkedContent;
  return signReceipt({ ...content, chain: { ...chain, digest: digest.toString("hex") } }, signing);
}

import type { Db } from "../database/connection.ts";
import { isUuid } from "../lib/ids.ts";
import { type PayeeHistory, readPayeeHistory } from "./contract-money-store.ts";
import * as store from "./human-store.ts";
import { type PageContext, readContext } from "./page-context-store.ts";
import { hasSignature } from "./signature-store.ts";
import { awaitDecision } from "./store.ts";
import { type ApprovalState, withState } from "./wire.ts";

export { countPendingFundings } from "./human-store.ts";
export { listSignatures, type Signature } from "./signature-store.ts";

/** An approval as people see it, with its outcome so far. */
export type HumanApproval = store.HumanApprovalRow & {
  state: ApprovalState;
};

/** The approval with that id, if it belongs to one of the person's accounts. */
export async function findApprovalForHuman(
  db: Db,
  accountIds: readonly string[],
  id: string,
): Promise<HumanApproval | undefined> {
  const read = async () => {
    const row = isUuid(id) ? await store.findForHuman(db, accountIds, id) : undefined;
    return row && withState(row);
  };
  const approval = await read();
  if (approval?.state !== "expired" || approval.status !== "pending") return approval;
  // Expired, unless a decision that began in time is being committed.
  await awaitDecision(db, approval.accountId, approval.id);
  return read();
}

/** What an approval's page says beside its terms, with what the account has paid the payee before; null: it has no payee. */
export async function readPageContext(
  db: Db,
  approval: HumanApproval,
): Promise<PageContext & { history: PayeeHistory | null }> {
  const { accountId, contractId, milestoneId, terms } = approval;
  const payeeId = "payee" in terms ? terms.payee.userId : null;
  const subject = { ...approval, subjectId: milestoneId ?? contractId };
  const [context, history] = await Promise.all([
    readContext(db, subject, payeeId),
    payeeId === null ? null : readPayeeHistory(db, accountId, payeeId),
  ]);
  return { ...context, history };
}

/**
 * Whether a decision whose answer was lost is recorded. Waits for its transaction, which may still hold the approval.
 * @param digest of the signed statement
 */
export async function isRecorded(
  db: Db,
  { accountId, id }: Pick<HumanApproval, "accountId" | "id">,
  digest: Buffer,
): Promise<boolean> {
  await awaitDecision(db, accountId, id);
  return hasSignature(db, accountId, id, digest);
}

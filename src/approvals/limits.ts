import type { Trx } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
import { countPending } from "./funding-store.ts";

/** How many approvals of an account may be pending. */
export const PENDING_AT_MOST = 100;
/** How many of those one root token may have: an agent cannot use up the account's limit. */
export const PENDING_OF_ROOT_AT_MOST = 50;
const TOO_MANY_RETRY_SECONDS = 60;

/**
 * Asserts that one more approval may be pending. Exact, because the caller has serialised the account's requests.
 * @throws Problem too_many_pending
 */
export async function assertPendingLimit(trx: Trx, accountId: string, rootTokenId: string): Promise<void> {
  const pending = await countPending(trx, accountId, rootTokenId);
  const retryAfterSeconds = TOO_MANY_RETRY_SECONDS;
  if (pending.all >= PENDING_AT_MOST)
    throw new Problem("too_many_pending", { limit: PENDING_AT_MOST, retryAfterSeconds });
  if (pending.ofRoot >= PENDING_OF_ROOT_AT_MOST)
    throw new Problem("too_many_pending", { limit: PENDING_OF_ROOT_AT_MOST, retryAfterSeconds });
}

import type { Db } from "../database/connection.ts";
import { toPage } from "../lib/pages.ts";
import { badField } from "../lib/problems.ts";
import type { CreditEntry, CreditLedger, CreditLedgerQuery, Credits } from "./credit-schemas.ts";
import * as store from "./credit-store.ts";

export {
  adjustCredits,
  adjustForMilestone,
  captureHold,
  holdCredits,
  refundToCredits,
  releaseHold,
} from "./credit-booking.ts";

const RECENT = 10;
const PAGE = 50;
const CURSOR = /^[1-9]\d{0,14}$/;

/** The account's credits (docs/contract.md §5); zeros if they were never used. */
export async function getCredits(db: Db, accountId: string): Promise<Credits> {
  const { availableCents, reservedCents } = await store.findBalance(db, accountId);
  const recent = await store.listEntries(db, accountId, { limit: RECENT });
  return { availableCents, reservedCents, currency: "usd", recentEntries: recent.map(toEntry) };
}

/**
 * A page of the account's credit entries, newest first (docs/contract.md §5).
 * @throws Problem bad_request {field: "cursor"}
 */
export async function listCreditLedger(
  db: Db,
  accountId: string,
  { cursor, limit = PAGE }: CreditLedgerQuery,
): Promise<CreditLedger> {
  if (cursor !== undefined && !CURSOR.test(cursor))
    throw badField("cursor", "`cursor` must be a `nextCursor` that was given.");
  const before = cursor === undefined ? undefined : Number(cursor);
  const rows = await store.listEntries(db, accountId, { before, limit: limit + 1 });
  const { page, nextCursor } = toPage(rows, limit, ({ number }) => String(number));
  return { entries: page.map(toEntry), nextCursor };
}

/** An entry that was just inserted. */
export async function getCreditEntry(db: Db, accountId: string, id: string): Promise<CreditEntry> {
  const row = await store.findEntry(db, accountId, id);
  if (row === undefined) throw new TypeError(`there is no credit entry ${id}`);
  return toEntry(row);
}

function toEntry(row: store.EntryRow): CreditEntry {
  return {
    id: row.id,
    type: row.type,
    amountCents: row.amountCents,
    createdAt: row.createdAt.toISOString(),
    holdEntryId: row.holdEntryId,
    jobofferId: row.jobId,
    contractId: row.contractId,
    milestoneId: row.milestoneId,
    topUpId: row.topUpId,
    note: row.note,
  };
}

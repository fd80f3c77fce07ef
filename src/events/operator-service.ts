import type { Db } from "../database/connection.ts";
import { inTransaction, noteChange } from "../database/transaction.ts";
import * as store from "./operator-store.ts";
import { OPERATOR_FEED, type OperatorUpdates, type PageQuery } from "./schemas.ts";
import { toEvent, toPage, toRange } from "./wire.ts";

const BATCH = 500;

/**
 * Appends committed events to the operator's feed, and numbers them. This runs after the commit and in one process at a
 * time, so that the feed has no gaps and no event that was rolled back. Several processes may call it at once.
 * @returns how many events were appended
 */
export async function extendOperatorFeed(db: Db): Promise<number> {
  for (let total = 0; ; ) {
    const count = await inTransaction(db, async (trx) => {
      const last = await store.lockLastNumber(trx);
      const rows = await store.listOutbox(trx, BATCH);
      if (rows.length === 0) return 0;
      await store.insertOperatorEvents(trx, last + 1, rows);
      await store.deleteFromOutbox(trx, rows);
      await store.updateLastNumber(trx, last + rows.length);
      noteChange(trx, OPERATOR_FEED);
      return rows.length;
    });
    total += count;
    if (count < BATCH) return total;
  }
}

/**
 * A page of the operator's feed, the events of all accounts, oldest first (docs/contract.md §8).
 * @throws Problem cursor_ahead, cursor_expired
 */
export async function readOperatorUpdates(db: Db, query: PageQuery): Promise<OperatorUpdates> {
  const { cursor, limit } = toRange(query);
  const { rows, ...page } = toPage(await store.readOperatorPage(db, cursor, limit), query);
  return { events: rows.map((row) => ({ ...toEvent(row), accountId: row.account })), ...page };
}

import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import type { Checkout, CheckoutRecord, CheckoutState } from "./processor.ts";
import * as books from "./sandbox-checkout-store.ts";

/** The sandbox's page on which a top-up is paid with test cards. */
export function sandboxCheckout(db: Db, publicUrl: string, newBookId: (prefix: string) => string): Checkout {
  const toRecord = (row: books.SessionRow): CheckoutRecord => ({
    id: row.id,
    accountId: row.account_id,
    topUpId: row.metadata.topUpId ?? null,
    amountCents: row.amount_cents,
    currency: row.currency,
    state: toState(row, publicUrl),
    createdAt: row.created_at,
  });
  const find = async (sessionId: string): Promise<CheckoutRecord | undefined> => {
    const row = await books.findSession(db, sessionId);
    return row && toRecord(row);
  };

  return {
    async open(request) {
      const row = await books.insertSession(db, newBookId("cs"), request, await readClock(db));
      return { status: "opened", record: toRecord(row) };
    },
    find,
    async end(sessionId) {
      await books.expireSession(db, sessionId);
      return find(sessionId);
    },
    async *list(of) {
      for (const row of await books.listSessions(db, of)) yield toRecord(row);
    },
  };
}

function toState(row: books.SessionRow, publicUrl: string): CheckoutState {
  if (row.status === "complete") return { status: "complete", intentId: row.intent_id ?? "" };
  return row.status === "open"
    ? { status: "open", url: `${publicUrl}/sandbox/checkout/${row.id}` }
    : { status: "expired" };
}

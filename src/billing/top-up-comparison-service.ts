import type { Db } from "../database/connection.ts";
import { findTopUpsByIntents, type KeyedPayment, listCompletedTopUps } from "./compared-store.ts";
import type { IntentRecord, Processor } from "./processor.ts";

const BATCH = 500;

/** The top-ups of these intents, by intent id, as payments are compared. */
export function topUpsOf(db: Db, records: readonly IntentRecord[]): Promise<Map<string, KeyedPayment>> {
  return findTopUpsByIntents(
    db,
    records.filter(({ topUpId }) => topUpId !== null),
  );
}

/** Completed top-ups whose intent the processor has not listed, each with its record; none: the processor has none. */
export async function* untoldTopUps(
  { db, processor }: { db: Db; processor: Processor },
  { since, seen }: { since: Date; seen: ReadonlyMap<string, IntentRecord> },
): AsyncGenerator<{ topUp: KeyedPayment; record: IntentRecord | undefined }> {
  for (let after: KeyedPayment | undefined; ; ) {
    const page = await listCompletedTopUps(db, since, after, BATCH);
    for (const topUp of page) {
      if (topUp.intentId === null || seen.has(topUp.intentId)) continue;
      yield { topUp, record: await processor.findIntent(topUp.intentId) };
    }
    after = page.at(-1);
    if (page.length < BATCH) return;
  }
}

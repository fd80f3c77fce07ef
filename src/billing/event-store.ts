import { sql } from "kysely";
import { shortenWaits } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import type { ProcessorEvent } from "./processor.ts";

/** Records an event of the processor. `false`: it was recorded before. */
export async function insertProcessorEvent(
  db: Db,
  event: ProcessorEvent,
  { now, dueAt }: { now: Date; dueAt: Date },
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db
    .insertInto("processor_events")
    .values({
      id: event.id,
      type: event.type,
      intent_id: event.intentId,
      setup_id: event.setupId,
      session_id: event.sessionId,
      sent_kind: event.sent?.kind ?? null,
      sent_id: event.sent?.id ?? null,
      account_id: event.accountId,
      received_at: now,
      due_at: dueAt,
      handled_at: null,
    })
    .onConflict((conflict) => conflict.column("id").doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows !== 0n;
}

export type DueEvent = ProcessorEvent & { attempts: number };

/** Recorded events that are due and not handled. */
export async function listDueEvents(db: Db, now: Date, limit: number): Promise<DueEvent[]> {
  const rows = await db
    .selectFrom("processor_events")
    .where("due_at", "<=", now)
    .select([
      "id",
      "type",
      "intent_id as intentId",
      "setup_id as setupId",
      "session_id as sessionId",
      "sent_kind as sentKind",
      "sent_id as sentId",
      "account_id as accountId",
      "attempts",
    ])
    .orderBy("due_at")
    .limit(limit)
    .execute();
  return rows.map(({ sentKind, sentId, ...event }) => ({
    ...event,
    sent: sentKind === null || sentId === null ? null : { kind: sentKind, id: sentId },
  }));
}

/** Takes an event for another try. `false`: another process has. */
export async function takeEvent(
  db: Db,
  { id, attempts }: DueEvent,
  { now, dueAt }: { now: Date; dueAt: Date },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("processor_events")
    .set({ attempts: attempts + 1, due_at: dueAt })
    .where("id", "=", id)
    .where("attempts", "=", attempts)
    .where("due_at", "<=", now)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Shortens waits that a clock set back has made longer than `seconds`. */
export function shortenEventWaits(db: Db, seconds: number): Promise<void> {
  return shortenWaits(db, "processor_events", "due_at", {
    pending: sql`due_at is not null`,
    seconds: sql`${seconds}::float8`,
  });
}

export async function markEventHandled(db: Db, id: string, now: Date): Promise<void> {
  await db
    .updateTable("processor_events")
    .set({ handled_at: now, due_at: null })
    .where("id", "=", id)
    .where("handled_at", "is", null)
    .execute();
}

/** Deletes events handled before then: the processor no longer resends them. */
export async function deleteHandledEvents(db: Db, before: Date): Promise<void> {
  await db.deleteFrom("processor_events").where("handled_at", "<", before).execute();
}

import type { Db } from "../database/connection.ts";
import { deleteOldAttempts } from "./person-store.ts";
import { deleteOldResets } from "./reset-store.ts";
import { deleteEndedSessions } from "./session-store.ts";

export { sweepResets } from "./reset-service.ts";

/** Removes what has ended by itself and counts for nothing any more: sessions, links, counts of attempts. */
export async function forgetEnded(db: Db): Promise<void> {
  await deleteEndedSessions(db);
  await deleteOldResets(db);
  await deleteOldAttempts(db);
}

import type { Db } from "../database/connection.ts";
import { deleteOldAttempts } from "./person-store.ts";
import { deleteOldResets } from "./reset-store.ts";
import { deleteEndedSessions } from "./session-store.ts";

export { sweepResets } from "./reset-service.ts";

/** Deletes ended sessions, expired links and old counts of attempts. */
export async function forgetEnded(db: Db): Promise<void> {
  await deleteEndedSessions(db);
  await deleteOldResets(db);
  await deleteOldAttempts(db);
}

import type { Db } from "../database/connection.ts";
import { deleteLapsedChallenges } from "./passkey-store.ts";
import { deleteOldResets } from "./reset-store.ts";
import { deleteEndedSessions, deleteOldAttempts } from "./store.ts";

export { sweepResets } from "./resets.ts";

/** Removes what has ended by itself and counts for nothing any more: sessions, links, challenges, counts of attempts. */
export async function forgetEnded(db: Db): Promise<void> {
  await deleteEndedSessions(db);
  await deleteOldResets(db);
  await deleteLapsedChallenges(db);
  await deleteOldAttempts(db);
}

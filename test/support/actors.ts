import { readClock } from "../../src/database/clock.ts";
import type { Db } from "../../src/database/connection.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { newId } from "../../src/lib/ids.ts";
import { newToken } from "../../src/sign-in/cookie.ts";
import type { Actor } from "../../src/sign-in/service.ts";
import { insertSession } from "../../src/sign-in/session-store.ts";

/** A person who acts without HTTP: a session of theirs that began just now. Who is not there yet is made. */
export async function createActor(db: Db, userId: string): Promise<Actor> {
  const sessionId = newId();
  const { digest } = newToken();
  await inTransaction(db, async (trx) => {
    await trx
      .insertInto("auth.users")
      .values({ id: userId, name: "Ada Owner", email: `${userId.toLowerCase()}@example.com` })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const where = { address: "127.0.0.1", userAgent: "test" };
    await insertSession(
      trx,
      { id: sessionId, digest, userId, ...where, zone: "UTC", trusted: false },
      await readClock(trx),
    );
  });
  return { userId, sessionId, tokenDigest: digest };
}

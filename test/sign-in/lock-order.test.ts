import { sql } from "kysely";
import { expect, test, vi } from "vitest";
import { inTransaction } from "../../src/database/transaction.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman, signIn } from "../support/humans.ts";
import { countWaiting } from "../support/locks.ts";
import { addPasskey, signInByPasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

test.each(["password", "passkey"])(
  "signing in by %s waits for a change of factors without holding a lock that the change needs",
  async (by) => {
    const human = await createHuman(app, (await createFixture(app)).account);
    const { authenticator } = await addPasskey(app, human);
    const userId = await userIdOf(db, human.email);
    const signing = await inTransaction(db, async (trx) => {
      await sql`select 1 from auth.users where id = ${userId} for no key update`.execute(trx);
      const answer =
        by === "password" ? signIn(app, human.email) : signInByPasskey(app, authenticator, userId);
      await vi.waitUntil(async () => (await countWaiting(db)) > 0, { timeout: 30_000 });
      for (const table of ["auth.passwords", "auth.sessions", "auth.passkeys"])
        await sql`select 1 from ${sql.raw(table)} where user_id = ${userId} for update nowait`.execute(trx);
      return { answer };
    });
    expect((await signing.answer).status).toBe(303);
  },
);

import type { Db } from "../../src/database/connection.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { newId } from "../../src/lib/ids.ts";
import { insertPasskey } from "../../src/sessions/passkey-store.ts";
import { Authenticator } from "./authenticator.ts";
import { PUBLIC_URL } from "./service.ts";

/** The user id of whoever signs in with that e-mail. */
export async function userIdOf(db: Db, email: string): Promise<string> {
  const row = db.selectFrom("auth.users").where("email", "=", email).select("id");
  return (await row.executeTakeFirstOrThrow()).id;
}

/** A passkey of the person's, as if they had added it a while ago. */
export async function givePasskey(
  db: Db,
  userId: string,
  { origin = PUBLIC_URL, counter = 0 }: { origin?: string; counter?: number } = {},
): Promise<Authenticator> {
  const authenticator = new Authenticator(origin);
  const inserted = await inTransaction(db, (trx) =>
    insertPasskey(trx, {
      id: newId(),
      user_id: userId,
      name: "Test passkey",
      credential_id: authenticator.credentialId,
      public_key: authenticator.coseKey,
      counter,
      transports: ["internal"],
      device_type: "singleDevice",
      backed_up: false,
      aaguid: null,
      created_at: new Date(),
      last_used_at: null,
      trusted_from: new Date(0),
    }),
  );
  if (!inserted) throw new Error("the passkey is known already");
  return authenticator;
}

import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { isUuid } from "../lib/ids.ts";
import * as store from "./key-store.ts";
import type { TokenMetadata } from "./schemas.ts";
import { type Account, toTokenMetadata } from "./token-service.ts";

export { findAsker } from "./key-store.ts";

/** A token as the account's members see it, with who minted it, by name. */
export type Key = TokenMetadata & Pick<store.KeyRow, "minterToken" | "minterUser" | "minterUserId" | "asker">;

/** The account's tokens for its members, newest first: those that live, and so many of those that ended last. */
export async function listKeys(db: Db, { accountId, organizationId }: Account, ended = 0): Promise<Key[]> {
  const now = await readClock(db);
  const rows = await store.listKeys(db, accountId, { now, ended });
  return rows.map((row) => toKey(row, organizationId, now));
}

/** One of them. */
export async function findKey(
  db: Db,
  { accountId, organizationId }: Account,
  id: string,
): Promise<Key | undefined> {
  const row = isUuid(id) ? await store.findKey(db, accountId, id) : undefined;
  return row && toKey(row, organizationId, await readClock(db));
}

function toKey(row: store.KeyRow, organizationId: string, now: Date): Key {
  const { minterToken, minterUser, minterUserId, asker } = row;
  return { ...toTokenMetadata(row, organizationId, now), minterToken, minterUser, minterUserId, asker };
}

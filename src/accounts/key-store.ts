import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { Asker } from "../database/schema.ts";
import { isShown, type Shown, TOKEN_COLUMNS, type TokenRow } from "./token-store.ts";

/** A token as a member sees it: with who minted it, by name. Neither name: the operator, or the service itself. */
export type KeyRow = TokenRow & {
  minterToken: string | null;
  minterUser: string | null;
  minterUserId: string | null;
  /** Who created it. */
  asker: Asker;
};

export function listKeys(db: Db, accountId: string, shown: Shown): Promise<KeyRow[]> {
  return selectKeys(db, accountId)
    .where(isShown(accountId, shown))
    .orderBy("t.created_at", "desc")
    .orderBy("t.id", "desc")
    .execute();
}

export function findKey(db: Db, accountId: string, id: string): Promise<KeyRow | undefined> {
  return selectKeys(db, accountId)
    .where("t.id", "=", id)
    .where("t.secretless", "=", false)
    .executeTakeFirst();
}

function selectKeys(db: Db, accountId: string) {
  return db
    .selectFrom("tokens as t")
    .leftJoin("tokens as m", (join) =>
      join.onRef("m.account_id", "=", "t.account_id").onRef("m.id", "=", "t.minted_by"),
    )
    .where("t.account_id", "=", accountId)
    .select(TOKEN_COLUMNS.map((column) => `t.${column}` as const))
    .select((select) => [
      "m.name as minterToken",
      "t.minted_by_user as minterUserId",
      sql<Asker>`${sql.raw(ASKER)}`.as("asker"),
      select
        .selectFrom("members as u")
        .where("u.account_id", "=", accountId)
        .whereRef("u.user_id", "=", "t.minted_by_user")
        // A person who was removed and came back has several.
        .orderBy("u.created_at", "desc")
        .limit(1)
        .select("u.name")
        .as("minterUser"),
    ]);
}

/** An agent names what a token mints, and itself. */
const NAMED_ITSELF = "t.minted_by is not null or t.maker_kind = 'agent'";

/** Who created a token, as a column of any statement that reads one. */
const ASKER = `jsonb_build_object('kind', t.maker_kind, 'name', t.maker_name, 'namedItself', ${NAMED_ITSELF})`;

/** The same as plain columns, for the statement of a fund request. */
export const ASKER_COLUMNS = `t.maker_kind as "askerKind", t.maker_name as "askerName", ${NAMED_ITSELF} as "askerNamedItself"`;

/** Who created the account's token of that id. `undefined`: there is no such token. */
export async function findAsker(db: Db, accountId: string, tokenId: string): Promise<Asker | undefined> {
  const row = db
    .selectFrom("tokens as t")
    .where("t.account_id", "=", accountId)
    .where("t.id", "=", tokenId)
    .select(sql<Asker>`${sql.raw(ASKER)}`.as("asker"));
  return (await row.executeTakeFirst())?.asker;
}

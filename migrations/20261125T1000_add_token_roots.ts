import { type Kysely, sql } from "kysely";

/**
 * Whose allowance a minted token uses: the first of those who minted one another.
 * Frozen: what has run somewhere is never edited; the next change is a new file.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Absent where no token minted it, and where an older version did during an upgrade: then it has its own. It needs no
  // foreign key: `minted_by` keeps every minter for as long as there is what it minted.
  `alter table tokens add column root_id uuid,
    add constraint tokens_root check (root_id is null or minted_by is not null)`,
  `with recursive family as (
    select account_id, id, id as root_id from tokens where minted_by is null
    union all
    select t.account_id, t.id, f.root_id
    from tokens t join family f on t.account_id = f.account_id and t.minted_by = f.id
  )
  update tokens t set root_id = f.root_id from family f
  where t.account_id = f.account_id and t.id = f.id and t.minted_by is not null`,
];

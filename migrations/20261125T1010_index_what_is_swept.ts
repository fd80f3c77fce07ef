import { type Kysely, sql } from "kysely";

/**
 * By when what is forgotten has ended.
 * Frozen: what has run somewhere is never edited; the next change is a new file.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

// The earlier of two times; where there is only one, that.
const statements = [
  `create index tokens_ended on tokens (least(revoked_at, expires_at))`,
  `create index invitations_ended on invitations (least(used_at, expires_at))`,
  `create index mails_ended on mails (least(sent_at, failed_at))`,
];

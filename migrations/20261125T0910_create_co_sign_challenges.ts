import { type Kysely, sql } from "kysely";

/**
 * What a person's passkey was asked to sign when they pressed the button.
 * Frozen: what has run somewhere is never edited; the next change is a new file.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of challenges) await sql.raw(statement).execute(db);
}

const challenges = [
  // One for a person and an approval: the next replaces it, so that nothing piles up and no sweep is needed.
  `create table co_sign_challenges (
    account_id uuid not null,
    approval_id uuid not null,
    user_id text not null,
    session_id text not null,
    digest bytea not null check (octet_length(digest) = 32),
    issued_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > issued_at),
    primary key (account_id, approval_id, user_id),
    foreign key (account_id, approval_id) references approvals (account_id, id)
  )`,
];
